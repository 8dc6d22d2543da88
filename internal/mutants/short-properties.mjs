// A property has twenty seconds for a mutant: most are found by the first runs, and each that survives costs all of them.
import fc from 'fast-check';

fc.configureGlobal({ interruptAfterTimeLimit: 20_000 });
