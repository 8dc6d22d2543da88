import { conformanceCases } from '../../conformance/index.ts';
import type { ReferenceSetup } from './reference-setup.ts';

/** The cases whose `area: name` matches and that fail, with what they say. */
export function failingCases(setup: ReferenceSetup, matching = /./): readonly string[] {
  return [...failures(setup, matching)];
}

/** The first of them: the others are not run. */
export function firstFailingCase(setup: ReferenceSetup, matching: RegExp): string | undefined {
  for (const failure of failures(setup, matching)) return failure;
  return undefined;
}

function* failures(setup: ReferenceSetup, matching: RegExp): Generator<string> {
  for (const { area, name, run } of conformanceCases(setup)) {
    const title = `${area}: ${name}`;
    if (!matching.test(title)) continue;
    try {
      run();
    } catch (error) {
      yield `${title}: ${String(error)}`;
    }
  }
}
