import { frameExtents } from '@heki/audit';
import type { ProtectionRange } from '@heki/hypervisor';
import {
  encodeMemory,
  type GrantRun,
  type MemoryData,
  type Moment,
  type WalkRegister,
} from '@heki/inspector';
import {
  type ComparedRange,
  collectiveRights,
  compareRights,
  kernelRightsText,
  machineMemory,
} from '@heki/machine';
import { type FrameRange, firstBehind, type Gfn, hex } from '@heki/physical-memory';
import { kernelTableFrames } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { bitNames, CR0_BITS, CR4_BITS, EFER_BITS } from '@heki/x86';
import { bpfRuns, memoryRunOf, pageNames, tableRuns } from '../../../audit/audit-page.ts';
import type { Life } from './life.ts';
import { lookAt } from './play.ts';
import { mappingsOf, type WatchedMachine } from './watched-machine.ts';

/**
 * The machine right after an event.
 *
 * @param since the event that its changes are told from; no event before `at` has that number: it has none
 * @throws {UsageError} when the life does not have so many
 */
export function momentOf(life: Life, at: number, since: number): Moment {
  let before: readonly ComparedRange[] | undefined;
  let moment: Moment | undefined;
  lookAt(life, since >= 0 && since < at ? [since, at] : [at], (machine, now) => {
    const rights = rightsOf(machine);
    if (now === since) before = rights;
    if (now !== at) return;
    moment = {
      at,
      since,
      memory: memoryOf(machine, rights),
      hypervisor: life.hypervisor,
      registers: registersOf(machine),
      changed: changesOf(before ?? rights, rights),
    };
  });
  if (moment === undefined) throw new RangeError(`no moment at event ${at}`);
  return moment;
}

/** All RAM in stretches of equal rights. */
function rightsOf({
  memory,
  root,
  levels,
  memoryMap,
  virtualMachine,
  capabilities,
}: WatchedMachine): ComparedRange[] {
  const stretches: ComparedRange[] = [];
  const ram = machineMemory(memoryMap);
  compareRights({
    virtualMachine,
    capabilities,
    memory: ram,
    mappings: collectiveRights({ memory, root, levels }, ram.at(-1)?.end ?? 0),
    visit(stretch) {
      const last = stretches.at(-1);
      const isLike =
        last?.end === stretch.start && last.allowed === stretch.allowed && last.granted === stretch.granted;
      if (isLike) stretches[stretches.length - 1] = { ...last, end: stretch.end };
      else stretches.push(stretch);
    },
  });
  return stretches;
}

function memoryOf(machine: WatchedMachine, stretches: readonly ComparedRange[]): MemoryData {
  const { memory, root, levels } = machine;
  const mappings = mappingsOf(machine);
  const ram = machine.memoryMap.entries.filter(({ type }) => type === 'ram');
  const asked = machine.virtualMachine.save()?.ranges;
  return encodeMemory({
    ram,
    runs: frameExtents(mappings).map((extent) => memoryRunOf(extent)),
    names: pageNames({ mappings, symbolAt: machine.symbolAt }),
    tables: tableRuns(kernelTableFrames({ memory, root, levels }, DUMP_LIMITS.tablePages)),
    crashKernel: machine.crashKernel,
    bpf: bpfRuns(mappings, machine.bpf),
    grants: [
      grantsOf(
        stretches,
        (asked ?? []).filter(({ immutable }) => immutable === true),
      ),
    ],
    unsent: asked === undefined ? undefined : unsentOf(ram, asked),
  });
}

/** Frames of `ram` that are in none of the ranges that something is asked for; both ascend. */
function unsentOf(ram: readonly FrameRange<Gfn>[], asked: readonly ProtectionRange[]): FrameRange<Gfn>[] {
  const unsent: FrameRange<Gfn>[] = [];
  for (const { start, end } of ram) {
    let at = start;
    for (let index = firstBehind(asked, start); at < end; index++) {
      const range = asked[index];
      const next = Math.min(end, range?.start ?? end) as Gfn;
      if (at < next) unsent.push({ start: at, end: next });
      at = range?.end ?? end;
    }
  }
  return unsent;
}

/** What is granted, in parts that are immutable or not. */
function grantsOf(stretches: readonly ComparedRange[], immutable: readonly ProtectionRange[]): GrantRun[] {
  const grants: GrantRun[] = [];
  for (const { start, end, granted } of stretches) {
    for (let at: number = start; at < end; ) {
      const range = immutable[firstBehind(immutable, at)];
      const isImmutable = range !== undefined && range.start <= at;
      const next = Math.min(end, (isImmutable ? range.end : range?.start) ?? end);
      grants.push({ start: at, end: next, rights: kernelRightsText(granted), immutable: isImmutable });
      at = next;
    }
  }
  return grants;
}

/** Frames whose rights are not what they were, joined. */
function changesOf(before: readonly ComparedRange[], after: readonly ComparedRange[]): [number, number][] {
  const changed: [number, number][] = [];
  let index = 0;
  for (const { start, end, allowed, granted } of after) {
    for (let at: number = start; at < end; ) {
      while (index < before.length && (before[index]?.end ?? 0) <= at) index++;
      const was = before[index];
      const until = Math.min(end, was?.end ?? end);
      if (was === undefined || was.allowed !== allowed || was.granted !== granted) {
        const last = changed.at(-1);
        if (last?.[1] === at) last[1] = until;
        else changed.push([at, until]);
      }
      at = until;
    }
  }
  return changed;
}

function registersOf({ vcpu }: WatchedMachine): WalkRegister[] {
  const { cr0, cr3, cr4, efer } = vcpu.registers;
  return [
    { name: 'CR3', value: hex(cr3), bits: [] },
    { name: 'CR0', value: hex(cr0), bits: bitNames(CR0_BITS, cr0) },
    { name: 'CR4', value: hex(cr4), bits: bitNames(CR4_BITS, cr4) },
    { name: 'EFER', value: hex(efer), bits: bitNames(EFER_BITS, efer) },
  ];
}
