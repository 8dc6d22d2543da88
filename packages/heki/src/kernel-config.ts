import { InputError } from './failure.ts';

/** The options of a kernel's .config that are set, each with its value (`y`, `m`, a number or a text). */
export type KernelConfig = ReadonlyMap<string, string>;

const SET = /^(CONFIG_\w+)=(.+)$/;
const NOT_SET = /^# (CONFIG_\w+) is not set$/;

/**
 * Reads the text of a kernel's .config, in the format that Kconfig writes. Of lines about one option the last counts, as for Kconfig: fragments
 * are appended.
 *
 * @throws {InputError} when `text`, which came from `path`, has no configuration in it
 */
export function parseKernelConfig(text: string, path: string): KernelConfig {
  const options = new Map<string, string>();
  let lines = 0;
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = SET.exec(line) ?? [];
    if (name !== undefined && value !== undefined) {
      options.set(name, value.replace(/^"(.*)"$/, '$1'));
      lines++;
    } else {
      const unset = NOT_SET.exec(line)?.[1];
      if (unset === undefined) continue;
      options.delete(unset);
      lines++;
    }
  }
  if (lines === 0) {
    throw new InputError(
      'no kernel configuration: expected lines as "CONFIG_RANDOMIZE_BASE=y" or "# CONFIG_HEKI is not set"',
      { file: path },
    );
  }
  return options;
}

/** Whether the option is built in. Heki's own tests are at compile time: a module (`m`) does not count. */
export function isBuiltIn(config: KernelConfig, name: string): boolean {
  return config.get(name) === 'y';
}
