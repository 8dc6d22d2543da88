import { describe, test } from 'vitest';
import type { BackendEvent, VirtualMachine } from '../virtual-machine.ts';
import { type ConformanceSetup, conformanceCases, savedLivesCase } from './index.ts';

/** Registers all {@link conformanceCases} with vitest, under `name`. */
export function describeConformance<Machine extends VirtualMachine, Event extends BackendEvent>(
  name: string,
  setup: ConformanceSetup<Machine, Event>,
): void {
  describe(`${name} keeps the contract`, () => {
    for (const { area, name, run } of conformanceCases(setup)) test(`${area}: ${name}`, run);
  });
}

/** Registers a {@link savedLivesCase} with vitest. */
export function describeSavedLives<Machine extends VirtualMachine, Event extends BackendEvent>(
  name: string,
  setup: ConformanceSetup<Machine, Event>,
  lives: number,
): void {
  const { name: promise, run } = savedLivesCase(setup, lives);
  test(`${name}: ${promise}`, run);
}
