// The first run only learns which test reaches which mutant, and counts all the way: ten seconds of a property tell that. What a property
// finds of a mutant it finds in all of its runs.
import fc from 'fast-check';
import { inject } from 'vitest';

if (inject('mode') !== 'mutant') fc.configureGlobal({ interruptAfterTimeLimit: 10_000 });
