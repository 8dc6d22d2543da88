import { createRequire } from 'node:module';

/** The kernel that comes with the command, taken where no snapshot is named: a Debian kernel of 256 MiB, without KASLR. */
export const BUILT_IN_SNAPSHOT = createRequire(import.meta.url).resolve(
  '@heki/vmcore/data/k61-256-nokaslr.elf.gz',
);
