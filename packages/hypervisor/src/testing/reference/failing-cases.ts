import { conformanceCases } from '../../conformance/index.ts';
import type { ReferenceSetup } from './reference-setup.ts';

/** The cases whose `area: name` matches and that fail, with what they say. */
export function failingCases(setup: ReferenceSetup, matching = /./): readonly string[] {
  return conformanceCases(setup).flatMap(({ area, name, run }) => {
    const title = `${area}: ${name}`;
    if (!matching.test(title)) return [];
    try {
      run();
      return [];
    } catch (error) {
      return [`${title}: ${String(error)}`];
    }
  });
}
