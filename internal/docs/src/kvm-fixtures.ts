import { readdirSync } from 'node:fs';
import { createKvm, type KvmVirtualMachine, type LeafCounts } from '@heki/kvm';
import { createMachine } from '@heki/machine';
import type { Gfn } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { markdownTable } from './page.ts';
import { openFixture } from './snapshot.ts';

/** Leaves of EPT over all memory of each real kernel, before Heki and with it. */
export function fixtureLeavesTable(): string {
  const names = readdirSync('fixtures')
    .filter((file) => file.endsWith('.elf.gz'))
    .map((file) => file.slice(0, -'.elf.gz'.length))
    .sort();
  const rows = names.map((name) => {
    const hardened = protect(name, 'hardened');
    const published = protect(name, 'rfc-v2');
    return [
      name,
      countsText(hardened.before),
      countsText(hardened.after),
      `${hardened.extents} / ${hardened.tables}`,
      countsText(published.after),
      `${published.extents} / ${published.tables}`,
    ];
  });
  return markdownTable(
    ['kernel', 'before', '`hardened`', 'extents / tables', '`rfc-v2`', 'extents / tables'],
    rows,
  );
}

interface Protected {
  readonly before: LeafCounts;
  readonly after: LeafCounts;
  /** Extents of the attribute store. */
  readonly extents: number;
  /** Pages of EPT, the root included. */
  readonly tables: number;
}

function protect(name: string, profile: Profile): Protected {
  const machine = createMachine({ ...openFixture(name), hypervisor: createKvm({ profile }), profile });
  const vm = machine.virtualMachine;
  mapAll(vm);
  const before = vm.leafCounts();
  machine.earlyInit();
  machine.lateInit();
  mapAll(vm);
  return { before, after: vm.leafCounts(), extents: vm.attributes.extents, tables: vm.tablePages };
}

function mapAll(vm: KvmVirtualMachine): void {
  for (const { base, frames } of vm.slots) vm.preFault(base, (base + frames) as Gfn);
}

function countsText({ pages4K, pages2M, pages1G }: LeafCounts): string {
  return [pages4K, pages2M, pages1G].map((count) => count.toLocaleString('en-US')).join(' / ');
}
