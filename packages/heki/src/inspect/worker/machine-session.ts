import { ATTACK_MACHINES, bootMachine, CATALOGUE, runAttack } from '@heki/attacks';
import type { AttackStory, Choices, Moment, Timeline } from '@heki/inspector';
import { labBackend } from '../../attack/lab-backend.ts';
import { UsageError } from '../../failure.ts';
import { bootMoment, bootTimeline, choiceOf, machineNamed } from './boot-moments.ts';

/** Moments that are kept: going back and forth, one meets the same ones. */
const MOST_MOMENTS = 64;

const moments = new Map<string, Moment>();

export function choices(): Choices {
  return {
    machines: ATTACK_MACHINES.map(choiceOf),
    attacks: CATALOGUE.map(({ name, title, gains, source }) => ({ name, title, gains, source })),
  };
}

export const timeline = (machine: string): Timeline => bootTimeline(machine);

export function moment(machine: string, at: number): Moment {
  const key = `${machine} ${at}`;
  const known = moments.get(key);
  if (known !== undefined) return known;
  const found = bootMoment(machine, at);
  const oldest = moments.keys().next().value;
  if (moments.size >= MOST_MOMENTS && oldest !== undefined) moments.delete(oldest);
  moments.set(key, found);
  return found;
}

/** @throws {UsageError} for an attack or a machine that there is none of */
export function attack(name: string, machine: string): AttackStory {
  const found = CATALOGUE.find((one) => one.name === name);
  if (found === undefined) throw new UsageError(`there is no attack ${name}: heki attack --list names them`);
  const target = machineNamed(machine);
  const { verdict, evidence, steps } = runAttack(found, () => bootMachine(target.machine, labBackend));
  return {
    machine: choiceOf(target),
    verdict,
    evidence,
    steps: steps.map(({ text, result, detail = null, by = null }) => ({ text, result, detail, by })),
  };
}
