// A property has a minute for a mutant: most are found by the first runs, and each that survives costs all of them.
import fc from 'fast-check';

fc.configureGlobal({ interruptAfterTimeLimit: 60_000 });
