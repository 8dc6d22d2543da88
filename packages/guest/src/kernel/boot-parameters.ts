/** What the kernel's command line says to Heki. */
export interface BootParameters {
  /** `heki=`. */
  readonly enabled: boolean;
  /** `heki_test=`: number of a KUnit test; 0 when there is none. */
  readonly test: number;
  /** Lines for the kernel's log about values that make no sense. */
  readonly log: readonly string[];
}

/**
 * Reads `heki=` and `heki_test=` from a kernel command line (Heki v2 1/19, 19/19). The last of several counts; a value
 * that makes no sense is logged and changes nothing.
 */
export function parseBootParameters(commandLine: string): BootParameters {
  let enabled = true;
  let test = 0;
  const log: string[] = [];
  for (const word of commandLine.split(/\s+/)) {
    const [, name, value = ''] = /^(heki|heki_test)=(.*)$/.exec(word) ?? [];
    if (name === 'heki') {
      const parsed = parseBoolean(value);
      if (parsed === undefined) log.push(`heki-guest: Invalid option string for heki: '${value}'`);
      else enabled = parsed;
    } else if (name === 'heki_test') {
      if (/^\+?\d+$/.test(value) && BigInt(value) < 2n ** 64n) {
        test = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
      } else {
        log.push(`heki-guest: Invalid option string for heki_test: '${value}'`);
      }
    }
  }
  return { enabled, test, log };
}

/** `kstrtobool` (Linux 6.6, lib/kstrtox.c): the first letter decides, of `on` and `off` the second. */
function parseBoolean(value: string): boolean | undefined {
  if (/^([yt1]|on)/i.test(value)) return true;
  if (/^([nf0]|of)/i.test(value)) return false;
  return undefined;
}
