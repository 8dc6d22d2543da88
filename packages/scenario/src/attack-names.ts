import { ATTACKS, type Attack } from '@heki/machine';
import { nearMatches } from '@heki/series';
import { ScenarioError } from './error.ts';

/**
 * What a scenario's steps can be attacked with.
 *
 * @param own attacks beside those that come with heki
 */
export function knownAttacks(own: readonly Attack[] = []): readonly Attack[] {
  return [...ATTACKS, ...own].filter(({ legitimate }) => legitimate !== true);
}

/** @throws {ScenarioError} for the name of an unknown attack */
export function attackNamed(name: string, attacks: readonly Attack[]): Attack {
  const attack = attacks.find((one) => one.name === name);
  if (attack === undefined) throw new ScenarioError(noAttack(name, attacks));
  return attack;
}

/** What is wrong with the name of an unknown attack, with those that are written like it. */
export function noAttack(name: string, attacks: readonly Attack[]): string {
  const names = attacks.map((one) => one.name);
  const near = nearMatches(name, names);
  return `there is no attack ${name}: ${near.length > 0 ? `like it are ${near.join(', ')}` : `expected one of ${names.join(', ')}`}`;
}
