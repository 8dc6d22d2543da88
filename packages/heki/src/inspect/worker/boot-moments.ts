import { ATTACK_MACHINES, type AttackMachine } from '@heki/attacks';
import {
  type Choice,
  encodeMemory,
  type GrantRun,
  type MemoryRun,
  type Moment,
  memoryRun,
  type Timeline,
  type TimelineEvent,
  type WalkRegister,
} from '@heki/inspector';
import {
  type ComparedRange,
  collectiveRights,
  compareRights,
  KernelRights,
  kernelRightsText,
  type LinuxMachine,
} from '@heki/machine';
import { hex } from '@heki/physical-memory';
import { bitNames, CR0_BITS, CR4_BITS, EFER_BITS } from '@heki/x86';
import { labBackend } from '../../attack/lab-backend.ts';
import { createBootMachine } from '../../boot/boot-machine.ts';
import { UsageError } from '../../failure.ts';

/** Room for the kernel and what boot allocates. */
const MEMORY = '64MiB';

/** The machine of a name. @throws {UsageError} when there is none */
export function machineNamed(name: string): AttackMachine {
  const machine = ATTACK_MACHINES.find((one) => one.name === name);
  if (machine !== undefined) return machine;
  throw new UsageError(
    `machine ${name}: expected one of ${ATTACK_MACHINES.map((one) => one.name).join(', ')}`,
  );
}

export function choiceOf({ name, title }: Choice): Choice {
  return { name, title };
}

/** The boot of a machine, event by event. Accesses of the processor are left out: there are thousands, and none changes rights. */
export function bootTimeline(name: string): Timeline {
  const lanes: string[] = [];
  const events: TimelineEvent[] = [];
  const outcome = replay(name, ({ lane, text, isStep }) => {
    if (!lanes.includes(lane)) lanes.push(lane);
    events.push({ lane: lanes.indexOf(lane), text, isStep });
  });
  return { machine: choiceOf(machineNamed(name)), lanes, events, outcome };
}

/**
 * The machine right after an event.
 *
 * @param at the number of the event
 * @throws {UsageError} when boot does not have so many
 */
export function bootMoment(name: string, at: number): Moment {
  let before: readonly ComparedRange[] | undefined;
  let moment: Moment | undefined;
  let count = 0;
  replay(name, (_, machine) => {
    const now = count++;
    if (now === at - 1) before = rightsOf(machine);
    if (now !== at) return;
    const after = rightsOf(machine);
    moment = {
      at,
      memory: memoryOf(machine, after),
      hypervisor: machineNamed(name).machine.hypervisor ?? 'kvm',
      registers: registersOf(machine),
      changed: changesOf(before ?? after, after),
    };
    throw new Reached();
  });
  if (moment === undefined) throw new UsageError(`event ${at}: boot has ${count} events, from 0 on`);
  return moment;
}

/** Ends a replay: thrown through the machine, which is not used any more. */
class Reached extends Error {}

interface Told {
  readonly lane: string;
  readonly text: string;
  readonly isStep: boolean;
}

/** Boots a machine; how that ended. Nothing in it is random: each time it goes as it went before. */
function replay(name: string, onEvent: (told: Told, machine: LinuxMachine) => void): string {
  const { machine: specification } = machineNamed(name);
  const scenario = { machine: { memory: MEMORY, ...specification }, steps: [] };
  let machine: LinuxMachine | undefined;
  try {
    machine = createBootMachine(scenario, labBackend(specification.hypervisor ?? 'kvm'), {
      processorEvents: true,
      onEvent({ from, event }, describe) {
        // What happens while the machine is made is no part of its boot.
        if (machine === undefined || (from === 'vcpu' && event.type === 'access')) return;
        const line = describe();
        onEvent(
          {
            lane: from === 'guest' ? 'core' : line.slice(0, line.indexOf(' ')),
            text: line.slice(line.indexOf(' ')).trim(),
            isStep: from === 'kernel' && event.type === 'boot-step',
          },
          machine,
        );
      },
    });
    const { kind } = machine.kernel.boot();
    return kind === 'done' ? 'boot is over: the kernel lives' : `boot ends: ${kind}`;
  } catch (error) {
    if (error instanceof Reached) return '';
    throw error;
  }
}

/** All RAM in stretches of equal rights. */
function rightsOf({
  kernel,
  memory,
  memoryMap,
  virtualMachine,
  capabilities,
}: LinuxMachine): ComparedRange[] {
  const ram = memoryMap.entries.filter(({ type }) => type === 'ram');
  const stretches: ComparedRange[] = [];
  const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
  compareRights({
    virtualMachine,
    capabilities,
    memory: ram,
    mappings: collectiveRights(tables, ram.at(-1)?.end ?? 0),
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

function memoryOf({ memoryMap }: LinuxMachine, stretches: readonly ComparedRange[]) {
  return encodeMemory({
    ram: memoryMap.entries.filter(({ type }) => type === 'ram'),
    runs: stretches
      .filter(({ allowed }) => (allowed & KernelRights.READ) !== 0)
      .map(
        ({ start, end, allowed }): MemoryRun =>
          memoryRun({
            start,
            end,
            rights: kernelRightsText(allowed),
            places: [],
            distances: [],
            unlisted: 0,
          }),
      ),
    grants: [
      stretches.map(
        ({ start, end, granted }): GrantRun => ({
          start,
          end,
          rights: kernelRightsText(granted),
          immutable: false,
        }),
      ),
    ],
  });
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

function registersOf({ kernel }: LinuxMachine): WalkRegister[] {
  const { cr0, cr3, cr4, efer } = kernel.vcpu.registers;
  return [
    { name: 'CR3', value: hex(cr3), bits: [] },
    { name: 'CR0', value: hex(cr0), bits: bitNames(CR0_BITS, cr0) },
    { name: 'CR4', value: hex(cr4), bits: bitNames(CR4_BITS, cr4) },
    { name: 'EFER', value: hex(efer), bits: bitNames(EFER_BITS, efer) },
  ];
}
