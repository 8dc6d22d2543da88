import { fileURLToPath } from 'node:url';

/** The kernel that comes with the command, taken where no snapshot is named: a Debian kernel of 256 MiB, without KASLR. */
export const BUILT_IN_SNAPSHOT = fileURLToPath(new URL('../data/k61-256-nokaslr.elf.gz', import.meta.url));
