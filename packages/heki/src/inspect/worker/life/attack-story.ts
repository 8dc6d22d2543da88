import type { AttackInstruction, AttackStory, WalkQuery } from '@heki/inspector';
import { hex, type VirtualAddress } from '@heki/physical-memory';
import { type Exception, type VcpuEvent, Vector } from '@heki/vcpu';
import { PageFaultCode } from '@heki/x86';
import type { AttackEvent, AttackLife, PagingState } from './attack-life.ts';
import { timelineOfEvents } from './play.ts';

/** An attack on a machine, step by step and instruction by instruction. */
export function attackStory(life: AttackLife): AttackStory {
  const { run, events } = life.tell();
  const { verdict, evidence, steps } = run;
  const instructions = instructionsOf(events);
  return {
    machine: life.machine,
    verdict,
    evidence,
    steps: steps.map(({ text, result, detail = null, by = null }, step) => ({
      text,
      result,
      detail,
      by,
      instructions: instructions.get(step) ?? [],
    })),
    timeline: timelineOfEvents(life.machine, events, `${verdict}: ${evidence}`),
  };
}

/** The instructions of each step, by its number. */
function instructionsOf(events: readonly AttackEvent[]): ReadonlyMap<number, AttackInstruction[]> {
  const found = new Map<number, AttackInstruction[]>();
  for (let start = 0, at = 0; at < events.length; at++) {
    const event = events[at];
    const next = events[at + 1];
    if (event === undefined || (!endsInstruction(event) && next?.step === event.step)) continue;
    const own = events.slice(start, at + 1);
    const of = found.get(event.step) ?? [];
    const access = accessOf(own, events[Math.max(0, start - 1)]);
    of.push({ start, end: at + 1, sign: signOf(own), access });
    found.set(event.step, of);
    start = at + 1;
  }
  return found;
}

/** Whether an instruction is over with it, or an access of one: it completed, or the kernel does not come back to it. */
function endsInstruction({ trace: { from, event } }: AttackEvent): boolean {
  if (from !== 'vcpu') return false;
  switch (event.type) {
    case 'access':
    case 'instruction':
    case 'livelock':
    case 'halted':
      return true;
    case 'handled':
      return event.decision !== 'retry';
    default:
      return false;
  }
}

/**
 * What of an instruction the guest can see, without addresses: kernels lie elsewhere. Exits that the hypervisor only answers by letting the guest try
 * again, as where it maps a page, are not seen.
 */
function signOf(events: readonly AttackEvent[]): string {
  return events
    .flatMap(({ trace: { from, event } }) => (from === 'vcpu' ? (signOfEvent(event) ?? []) : []))
    .join(', ');
}

function signOfEvent(event: VcpuEvent): string | undefined {
  const on = `vcpu${event.vcpu} `;
  switch (event.type) {
    case 'access':
      return `${on}${event.access} ${event.bytes}`;
    case 'instruction':
      return on + event.text.split(' ', 1);
    case 'exception':
      return `${on}exception ${event.exception.vector} ${event.exception.errorCode}`;
    case 'handled':
      return on + event.decision;
    case 'no-memory':
    case 'livelock':
    case 'halted':
      return on + event.type;
    default:
      return undefined;
  }
}

const asked = (va: VirtualAddress, access: WalkQuery['access'], user: boolean, cpu: number) => ({
  address: hex(va),
  access,
  user,
  cpu,
});

/**
 * What a walk can be asked of: the access that completed, or that which faulted. A processor that was reset on the way walks no more
 * as it did before.
 */
function accessOf(
  events: readonly AttackEvent[],
  before: AttackEvent | undefined,
): AttackInstruction['access'] {
  for (const { trace, isUser, paging } of events.toReversed()) {
    if (trace.from !== 'vcpu') continue;
    const { event } = trace;
    const found = accessOfEvent(event, isUser);
    if (found === null) continue;
    return isSamePaging(before?.paging[event.vcpu], paging[event.vcpu]) ? found : null;
  }
  return null;
}

function accessOfEvent(event: VcpuEvent, isUser: boolean): AttackInstruction['access'] {
  if (event.type === 'access') return asked(event.va, ACCESSES[event.access], isUser, event.vcpu);
  const { exception } = event.type === 'exception' ? event : {};
  if (exception?.vector !== Vector.PF || exception.cr2 === undefined) return null;
  const byUser = (exception.errorCode & PageFaultCode.U) !== 0;
  return asked(exception.cr2, kindOf(exception), byUser, event.vcpu);
}

function isSamePaging(one: PagingState | undefined, other: PagingState | undefined): boolean {
  return (
    one?.cr0 === other?.cr0 && one?.cr3 === other?.cr3 && one?.cr4 === other?.cr4 && one?.efer === other?.efer
  );
}

const ACCESSES = { load: 'read', store: 'write', 'read-modify-write': 'write', fetch: 'fetch' } as const;

function kindOf({ errorCode }: Exception): WalkQuery['access'] {
  if ((errorCode & PageFaultCode.ID) !== 0) return 'fetch';
  return (errorCode & PageFaultCode.W) === 0 ? 'read' : 'write';
}
