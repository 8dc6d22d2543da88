import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What is mutated of a package: folders and files below its `src`, or all of it. */
export interface Target {
  readonly name: string;
  readonly parts: readonly string[];
}

const ALL: readonly string[] = ['.'];

/** Where a broken line would be a hole: the quick ones first. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  ept: ALL,
  npt: ALL,
  'memory-table': ALL,
  hypercall: ALL,
  x86: ALL,
  vmcore: ALL,
  guest: ALL,
  xen: ['p2m'],
  hyperv: ['secure-kernel'],
  kvm: ['mmu', 'attributes', 'hypercall', 'exit'],
  vcpu: ALL,
};

export const TARGETS: readonly Target[] = Object.entries(PARTS).map(([name, parts]) => ({ name, parts }));

/** Sources of a target as paths from the root; what serves tests and benchmarks is not among them. */
export function sourcesOf({ name, parts }: Target): string[] {
  return parts
    .map((part) => join('packages', name, 'src', part))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
    )
    .filter((file) => file.endsWith('.ts') && !/(\.test|\.bench|\/index)\.ts$|\/testing\//.test(file))
    .sort();
}
