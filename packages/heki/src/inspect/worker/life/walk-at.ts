import type { WalkAnswer, WalkQuery } from '@heki/inspector';
import {
  frameOf,
  type Gpa,
  type Hpa,
  hex,
  PAGE_SIZE,
  pageOffset,
  virtualFrameOf,
  writeU64,
} from '@heki/physical-memory';
import type { Access } from '@heki/x86';
import { InputError, UsageError } from '../../../failure.ts';
import { hex16 } from '../../../hex.ts';
import { outcomeText } from '../../../translate/translation-text.ts';
import { detailsOf, PLAIN, registersOfWalk, stepView } from '../walk-view.ts';
import type { AskedTranslation } from './recording-second-level.ts';
import { HOST_EDIT, secondLevelView } from './second-level-view.ts';
import { type BothStages, throughBothStages } from './through-both-stages.ts';
import type { WatchedMachine } from './watched-machine.ts';

/**
 * What an access meets on a machine that lives, through both stages: each entry of the guest's walk, and the walk of the second level by
 * which that entry was read. Edits are made in the machine's own memory: it must not be used any more.
 *
 * @throws {UsageError} for what is no address, or no virtual CPU
 * @throws {InputError} for an edit where there is no memory
 */
export function walkAt(watched: WatchedMachine, query: WalkQuery, where: string): WalkAnswer {
  const machine = onCpu(watched, query.cpu);
  const { vcpu, memory } = machine;
  const va = machine.resolve(query.address.trim());
  edit(machine, query.edits);
  const access: Access = { kind: query.access, mode: query.user ? 'user' : 'supervisor' };
  const { hlat } = vcpu.controls;
  // Its registers are accessors: a copy of the object has none.
  const { cr0, cr3, cr4, efer, rflags, pkru, pkrs } = vcpu.registers;
  const registers = { cr0, cr3, cr4, efer, rflags, pkru, pkrs, ...(hlat && { hlat }) };
  const asItStands = Object.keys(query.edits).some((address) => address.startsWith(HOST_EDIT));
  const stages = throughBothStages(machine, registers, va, access, asItStands);
  const { asked } = stages;
  const { outcome, steps } = stages.translation;
  const view = (found: AskedTranslation | undefined) =>
    found?.walk === undefined
      ? null
      : secondLevelView(machine, found.walk, query.edits, stages.installed.has(found.gfn));
  const isRefused = outcome.kind === 'page-fault' || outcome.kind === 'general-protection';
  const symbol = machine.symbolAt(va);
  const region = machine.regionAt(virtualFrameOf(va));
  return {
    va: hex16(va),
    place: symbol === undefined ? region : `${symbol}, in ${region}`,
    registers: registersOfWalk(registers),
    processor: vcpu.processor.name,
    tables: `page tables at ${hex(registers.cr3)} of the machine ${where}${hlat === undefined ? '' : `; HLAT's at ${hex(hlat.pointer)}`}`,
    steps: steps.map((step) => ({
      ...stepView(step, va, memory, query.edits),
      secondLevel: view(
        asked.findLast(
          ({ gfn, offset }) => gfn === frameOf(step.address) && offset === pageOffset(step.address),
        ),
      ),
    })),
    outcome: {
      ...endOf(stages),
      frame: outcome.kind === 'mapped' ? Math.floor(outcome.gpa / PAGE_SIZE) : null,
      secondLevel: isRefused || outcome.kind === 'absent-table' ? null : view(asked.at(-1)),
    },
    warnings: [],
    command: null,
  };
}

/** The machine with the virtual CPU of this number as that which is looked at. Each has registers of its own, and may have paging off. */
function onCpu(machine: WatchedMachine, number: number | undefined): WatchedMachine {
  if (number === undefined) return machine;
  const vcpu = machine.vcpus[number];
  if (vcpu !== undefined) return { ...machine, vcpu };
  throw new UsageError(`virtual CPU ${number}: expected one of 0 to ${machine.vcpus.length - 1}`);
}

const REFUSED_AT = {
  'paging-structure': 'where an entry is to be read',
  'accessed-dirty': 'where an accessed or dirty flag is to be set',
  final: 'the page itself',
} as const;

/** How it ends, and why. */
function endOf({
  translation: { outcome },
  asked,
  isCarriedOut,
  unknown,
}: BothStages): Pick<WalkAnswer['outcome'], 'kind' | 'text' | 'details'> {
  if (unknown !== undefined)
    return { kind: 'unknown', text: 'what it meets is not known', details: [unknown] };
  if (outcome.kind !== 'second-level') {
    const kind =
      outcome.kind === 'mapped' ? 'allowed' : outcome.kind === 'absent-table' ? 'unknown' : 'refused';
    return { kind, text: outcomeText(outcome, PLAIN), details: detailsOf(outcome) };
  }
  const at = `by the second level at guest-physical ${hex(outcome.gpa)}, ${REFUSED_AT[outcome.at]}`;
  const details = [`because ${asked.at(-1)?.walk?.reason ?? 'its rights do not allow it'}`];
  return isCarriedOut
    ? { kind: 'allowed', text: `refused ${at}; and the hypervisor carries it out`, details }
    : { kind: 'refused', text: `refused ${at}`, details };
}

function edit({ memory, vcpu }: WatchedMachine, edits: WalkQuery['edits']): void {
  for (const [address, value] of Object.entries(edits)) {
    const isHost = address.startsWith(HOST_EDIT);
    const at = Number(isHost ? address.slice(HOST_EDIT.length) : address);
    const entry = BigInt(value);
    const halves = { low: Number(entry % 0x1_0000_0000n), high: Number(entry >> 32n) };
    const written = isHost ? writeU64(vcpu.memory, at as Hpa, halves) : writeU64(memory, at as Gpa, halves);
    if (!written) throw new InputError(`there is no memory at ${address} that could be edited`);
  }
}
