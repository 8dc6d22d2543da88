import { grantableRights } from '@heki/hypervisor';
import type { LinuxMachine, MachineSpecification } from '@heki/machine';

/** What stands between an attacker and what he wants, on machines that have it. */
export const MECHANISMS = {
  write: 'the second level gives no right to write',
  execute: 'the second level gives the kernel no right to execute',
  'execute-by-privilege':
    'the second level goes by the privilege level, not by the user bit of the mapping, for what the kernel may execute (GMET)',
  'default-rights': 'memory for which no request was made is not executable',
  'late-requests': 'what the kernel makes read-only after boot is read-only in the second level',
  immutable: 'pages that no later request changes',
  unpatched: 'the kernel’s own text is not patched once boot is over',
  'end-of-boot': 'no request for rights is taken once boot is over',
  'signed-code': 'code comes by what it is: modules, patches and kexec images that somebody signed',
  'sealed-code':
    'once the kernel is sealed it executes, while it has paging on, only what the owner of its code has made of signed files',
  'module-blocklist': 'signed modules that were withdrawn do not count as signed any more',
  'cr-pins': 'bits of CR0 and CR4 that keep their values',
  'register-locks': 'table registers and MSRs that keep their values',
  'host-writes': "the hypervisor's own stores look at the rights",
  iommu: 'devices meet the rights of pages',
  hlat: 'the hypervisor owns the translation of addresses that it lists',
  'request-checks': 'requests are bounded and taken as a whole or not at all',
} as const;

/** One of {@link MECHANISMS}. */
export type Mechanism = keyof typeof MECHANISMS;

/** What Heki asks for a page of data: user code may run what it likes. */
const DATA = { read: true, write: true, supervisorExecute: false, userExecute: true };

/** The mechanisms that a machine which has booted says it has. What a defect makes of one of them is another matter. */
export function mechanismsOf(
  { capabilities, heki, virtualMachine }: Pick<LinuxMachine, 'capabilities' | 'heki' | 'virtualMachine'>,
  { hypervisor, iommu, hlat }: Pick<MachineSpecification, 'hypervisor' | 'iommu' | 'hlat'>,
): Mechanism[] {
  if (hypervisor === 'none') return [];
  const { immutability, pins, bypasses, unrequested } = capabilities;
  const ownsCode = heki.secureKernel !== undefined;
  const has: { readonly [mechanism in Mechanism]: boolean } = {
    write: true,
    execute: !grantableRights(capabilities, DATA).supervisorExecute,
    'execute-by-privilege':
      !grantableRights(capabilities, DATA).supervisorExecute &&
      virtualMachine.vcpus[0]?.processor.npt !== undefined,
    'default-rights': !unrequested.supervisorExecute,
    'late-requests': !ownsCode,
    immutable: immutability.kind === 'per-page',
    // Whoever owns the code patches what its manifest lets change.
    unpatched: immutability.kind === 'per-page' && capabilities.authenticates === undefined,
    'end-of-boot': ownsCode,
    'signed-code': ownsCode,
    'sealed-code': capabilities.authenticates === 'code',
    // The lab's owner of code has a list; no secure kernel here is given one.
    'module-blocklist': capabilities.authenticates === 'code',
    'cr-pins': (pins.cr0 | pins.cr4) !== 0n,
    // Xen's monitor could, and is not asked to.
    'register-locks': (virtualMachine.save()?.registers ?? []).length > 0,
    'host-writes': !bypasses.includes('hypervisor-writes'),
    iommu: iommu === true && !bypasses.includes('dma'),
    hlat: hlat === true,
    'request-checks': true,
  };
  const names = Object.keys(MECHANISMS) as Mechanism[];
  return names.filter((mechanism) => has[mechanism]);
}
