import {
  type AttackMachine,
  type AttackRun,
  bootMachine,
  type LabAttack,
  type Onlooker,
  runAttack,
  type Schedule,
} from '@heki/attacks';
import type { LinuxMachine, TraceEvent } from '@heki/machine';
import type { PagingRegisters } from '@heki/x86';
import { labBackend } from '../../../attack/lab-backend.ts';
import { choiceOf } from './choice.ts';
import { watchedKernel } from './kernel-life.ts';
import { type Life, type LifeEvent, lifeEvent } from './life.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** By what a processor walks page tables, and whether it does. */
export type PagingState = Pick<PagingRegisters, 'cr0' | 'cr3' | 'cr4' | 'efer'>;

/** Something that happens while a kernel is attacked. */
export interface AttackEvent extends LifeEvent {
  /** The step in which it happens, from 0. */
  readonly step: number;
  readonly trace: TraceEvent;
  /** A processor reports it that runs a user program. */
  readonly isUser: boolean;
  /** By what each processor walks page tables. */
  readonly paging: readonly PagingState[];
}

type OnAttackEvent = (event: AttackEvent, machine: WatchedMachine) => void;

/** Makes an attack, and tells each event of every attempt at it, accesses included. What `onEvent` throws comes out. */
function attackOnce(
  attack: LabAttack,
  { machine: specification }: AttackMachine,
  onEvent: OnAttackEvent,
  onAttempt: Onlooker['begins'],
  schedule?: Schedule,
): AttackRun {
  let booted: { readonly machine: LinuxMachine; readonly watched: WatchedMachine } | undefined;
  let attempt: Parameters<Onlooker['begins']>[0] | undefined;
  let last = -1;
  const boot = () => {
    const made = bootMachine(specification, labBackend, undefined, (trace, describe) => {
      if (attempt === undefined || booted === undefined) return;
      const step = attempt.done;
      const isUser = trace.from === 'vcpu' && booted.machine.vcpus[trace.event.vcpu]?.registers.cpl === 3;
      const paging = booted.machine.vcpus.map(({ registers: { cr0, cr3, cr4, efer } }) => ({
        ...{ cr0, cr3, cr4, efer },
      }));
      onEvent(
        { ...lifeEvent(trace.from, describe(), step > last), step, trace, isUser, paging },
        booted.watched,
      );
      last = step;
    });
    booted = { machine: made.machine, watched: watchedKernel(made.machine) };
    return made;
  };
  return runAttack(attack, boot, schedule, {
    begins(begun, its) {
      attempt = begun;
      last = -1;
      onAttempt(begun, its);
    },
    ends() {
      attempt = undefined;
    },
  });
}

/** An attack on a machine, which is made anew at each life: of a race, that attempt which decided. */
export interface AttackLife extends Life {
  live(onEvent: OnAttackEvent): string;
  /** What came of it, and what happened in it. */
  tell(): { readonly run: AttackRun; readonly events: readonly AttackEvent[] };
}

/** The attempt that decided, by attack and machine: which of many schedules of a race it was is found out once. */
const schedules = new Map<string, Schedule | undefined>();

/** The life of a kernel from the first step of an attack on it to the last. */
export function attackLife(attack: LabAttack, target: AttackMachine): AttackLife {
  const key = `${attack.name} ${target.name}`;

  function tell(): ReturnType<AttackLife['tell']> {
    const told = new Map<AttackRun['steps'], { schedule: Schedule | undefined; events: AttackEvent[] }>();
    let events: AttackEvent[] = [];
    const run = attackOnce(
      attack,
      target,
      (event) => events.push(event),
      ({ steps }, schedule) => {
        events = [];
        told.set(steps, { schedule, events });
      },
    );
    const decided = told.get(run.steps);
    schedules.set(key, decided?.schedule);
    return { run, events: decided?.events ?? [] };
  }

  return {
    machine: choiceOf(target),
    hypervisor: target.machine.hypervisor ?? 'kvm',
    tell,
    live(onEvent) {
      if (attack.race !== undefined && !schedules.has(key)) tell();
      const { verdict, evidence } = attackOnce(attack, target, onEvent, () => {}, schedules.get(key));
      return `${verdict}: ${evidence}`;
    },
  };
}
