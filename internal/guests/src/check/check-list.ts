import type { Guest } from '../guest.ts';
import { GUESTS } from '../guests.ts';
import { currentKernel } from '../kernel-package.ts';

/** The guest of the quick check: one of everything. */
const QUICK: Guest = {
  name: 'quick',
  about: 'KASLR, four levels, its RAM in a file',
  kernel: '',
  cpu: 'max,la57=off',
  memory: '256M',
  cmdline: '',
  ramInFile: true,
};

/** RAM above the PCI hole, page-table isolation, two CPUs. */
const LARGE: Guest = {
  ...QUICK,
  name: 'large',
  about: 'RAM above the PCI hole, from 4 GiB on',
  memory: '3600M',
  cpus: 2,
  cmdline: 'pti=on',
};

/** Guests of fixtures that the full check boots, too: by their names. */
const OF_FIXTURES = [
  'k61-pti-user',
  'k61-pti-entry',
  'k61-la57-pti-2cpus',
  'k61-crash-kernel',
  'k612-256-kaslr',
];

/** The packages of the archive that stand for its newest kernels, by the version of those that fixtures were made of. */
const META_PACKAGES = [
  ['6.1.', 'linux-image-cloud-amd64'],
  ['6.12.', 'linux-image-6.12-cloud-amd64'],
] as const;

/** The guests that are checked. */
export function checkedGuests(all: boolean): Guest[] {
  return [QUICK, ...(all ? [LARGE, ...GUESTS.filter(({ name }) => OF_FIXTURES.includes(name))] : [])];
}

/**
 * `guest` with the newest kernel of its kind: those that fixtures were made of leave the archive. On a busy machine TCG's timer is late, and
 * a kernel that checks it panics.
 */
export function withCurrentKernel(guest: Guest): Guest {
  const [, meta] = META_PACKAGES.find(([version]) => guest.kernel.startsWith(version)) ?? META_PACKAGES[0];
  return { ...guest, kernel: currentKernel(meta), cmdline: `no_timer_check ${guest.cmdline}` };
}
