import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Which page stands where in the site: each file of `docs/` in one section. */
export interface Section {
  readonly title: string;
  /** Names of files in `docs/`, without `.md`. */
  readonly pages: readonly string[];
  /** Its pages are listed when the reader opens it. */
  readonly collapsed?: true;
}

/** A page for each kind of finding, all of them generated. */
const FINDINGS = readdirSync(join(import.meta.dirname, '../../../docs/findings'))
  .sort()
  .map((file) => `findings/${file.replace(/\.md$/, '')}`);

export const SECTIONS: readonly Section[] = [
  { title: 'Start', pages: ['ten-minutes', 'paths', 'limits', 'verdicts', 'packages'] },
  {
    title: 'Tutorials',
    pages: [
      'protect-your-guest',
      'real-guests/crashed-machine',
      'write-a-scenario',
      'write-an-attack',
      'write-a-backend',
      'teach',
    ],
  },
  {
    title: 'Your own guest',
    pages: [
      'real-guests',
      'real-guests/running-qemu',
      'real-guests/libvirt',
      'real-guests/ci-job',
      'fleet',
      'audit-page',
      'inspector',
    ],
  },
  { title: 'How it works', pages: ['guest', 'kvm', 'ept-violation', 'second-level', 'authenticated-code'] },
  {
    title: 'What was found',
    pages: ['attacks', 'known-attacks', 'attack-matrix', 'defects', 'workloads', 'backends', 'explore'],
  },
  { title: 'Reference', pages: ['command', 'abi', 'kvm-api', 'findings', 'limits-of-input'] },
  { title: 'Findings', pages: FINDINGS, collapsed: true },
  { title: 'The project', pages: ['fidelity', 'architecture', 'reading-guide', 'mutants'] },
];
