import { isModulePath } from '@heki/machine';

/** Options and commands whose value can be an ES module, or a scenario that names some. */
const NAMING = /^(?:--hypervisor|--machine|--attack|backends)$/;

/** Whether the command line `args` may load ES modules of the user's: it names one where a module can stand, or a scenario. */
export function mayRunModules(args: readonly string[]): boolean {
  const words = args.flatMap((arg) => (arg.startsWith('--') ? arg.split('=', 2) : [arg]));
  if (words.includes('--scenario') || words.includes('--attack')) return true;
  return words.some((word) => NAMING.test(word)) && words.some(isModulePath);
}
