import { describe, test } from 'vitest';
import type { BackendEvent, VirtualMachine } from '../virtual-machine.ts';
import { hostCases } from './cases/hosts.ts';
import { lifeCycleCases } from './cases/life-cycle.ts';
import { pageCases } from './cases/pages.ts';
import { pinCases } from './cases/pins.ts';
import { rightsCases } from './cases/rights.ts';
import type { ConformanceCase, ConformanceSetup } from './setup.ts';

export {
  type ConformanceCase,
  ConformanceFailure,
  type ConformanceSetup,
  type GuestCalls,
  type GuestPlaces,
  type MalformedCall,
} from './setup.ts';

/**
 * Everything that the contract promises of a backend with the capabilities that it declares, case by case. Every case makes
 * machines of its own; the same set-up gives the same cases.
 */
export function conformanceCases<Machine extends VirtualMachine, Event extends BackendEvent>(
  setup: ConformanceSetup<Machine, Event>,
): readonly ConformanceCase[] {
  // The cases hand the backend only what it made itself, so that its own types may be forgotten.
  const any = setup as unknown as ConformanceSetup;
  return [
    ...rightsCases(any),
    ...pageCases(any),
    ...pinCases(any),
    ...hostCases(any),
    ...lifeCycleCases(any),
  ];
}

/** Registers all {@link conformanceCases} with vitest, under `name`. */
export function describeConformance<Machine extends VirtualMachine, Event extends BackendEvent>(
  name: string,
  setup: ConformanceSetup<Machine, Event>,
): void {
  describe(`${name} keeps the contract`, () => {
    for (const { area, name, run } of conformanceCases(setup)) test(`${area}: ${name}`, run);
  });
}
