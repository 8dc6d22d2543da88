/** Which page stands where in the site: each file of `docs/` in one section. */
export interface Section {
  readonly title: string;
  /** Names of files in `docs/`, without `.md`. */
  readonly pages: readonly string[];
}

export const SECTIONS: readonly Section[] = [
  { title: 'Start', pages: ['ten-minutes', 'limits', 'verdicts', 'packages', 'teach'] },
  {
    title: 'Your own guest',
    pages: [
      'real-guests',
      'real-guests/running-qemu',
      'real-guests/libvirt',
      'real-guests/crashed-machine',
      'real-guests/ci-job',
      'fleet',
      'audit-page',
      'inspector',
    ],
  },
  { title: 'Extend it', pages: ['write-a-scenario', 'write-an-attack', 'write-a-backend'] },
  { title: 'How it works', pages: ['guest', 'kvm', 'ept-violation', 'second-level', 'authenticated-code'] },
  {
    title: 'What was found',
    pages: ['attacks', 'known-attacks', 'attack-matrix', 'defects', 'workloads', 'backends', 'explore'],
  },
  { title: 'Reference', pages: ['command', 'limits-of-input', 'findings', 'kvm-api'] },
  { title: 'The project', pages: ['architecture', 'reading-guide', 'mutants'] },
];
