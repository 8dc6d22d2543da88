import { setFlagsFromString } from 'node:v8';

/**
 * Makes the V8 of Node 20 optimize a function only after it has run some megabytes of bytecode, in place of 200 KiB. Most commands end within
 * half a second: to compile for them what hardly runs again takes a third of their processor time. What runs for long is optimized all the
 * same, by then with better knowledge of its types. Later V8s count calls, optimize in two steps, and write an error for a flag that they
 * do not know.
 */
export function optimizeLate(): void {
  if (process.versions.v8.startsWith('11.3.')) setFlagsFromString('--interrupt-budget=1000000');
}
