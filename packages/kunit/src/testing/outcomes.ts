import { createKvm } from '@heki/kvm';
import type { KernelBuild } from '@heki/linux';
import { pcMemoryMap } from '@heki/machine';
import type { Profile } from '@heki/series';
import type { CaseResult } from '../framework/suite.ts';
import { type KunitSuiteName, kunitTests, runKunit, type SuiteResult } from '../run-kunit.ts';
import { SMALL_KERNEL } from './small-kernel.ts';

/** What a test runs on. */
export interface Setting {
  /** `none`: the kernel finds no Heki. */
  readonly hypervisor?: 'none' | 'kvm';
  readonly profile?: Profile;
  readonly mbec?: boolean;
  readonly commandLine?: string;
  /** Default {@link SMALL_KERNEL}. */
  readonly kernel?: KernelBuild;
}

/** Runs suites in kernels of 64 MiB: the lines of KTAP, and the outcomes of the suites. */
export function runIn(
  { hypervisor = 'kvm', profile = 'hardened', mbec = true, commandLine = '', kernel = SMALL_KERNEL }: Setting,
  options: { readonly suites?: readonly KunitSuiteName[]; readonly test?: number } = {},
): { readonly lines: readonly string[]; readonly results: readonly SuiteResult[] } {
  const running = runKunit({
    ...options,
    machine: {
      hypervisor: createKvm({ profile, mbec }),
      profile,
      commandLine,
      kernel,
      memoryMap: pcMemoryMap(2 ** 26),
      ...(hypervisor === 'none' ? { driver: undefined } : {}),
    },
  });
  const lines: string[] = [];
  for (;;) {
    const { value, done } = running.next();
    if (done === true) return { lines, results: value };
    lines.push(value);
  }
}

/** How each test of a suite, or only some of them, ended, by name (`ok`, `not ok`, `skip`, or what its thread met), and what they all said. */
export function outcomes(
  setting: Setting,
  suite: KunitSuiteName,
  only?: readonly string[],
): { readonly ends: Record<string, string>; readonly log: string } {
  const chosen = only?.map((name) => ({ test: kunitTests(suite).indexOf(name) + 1 })) ?? [{}];
  const cases = chosen.flatMap(
    (test) => runIn(setting, { suites: [suite], ...test }).results[0]?.cases ?? [],
  );
  return {
    ends: Object.fromEntries(cases.map((one) => [one.name, endOf(one)])),
    log: cases.flatMap(({ log }) => log).join('\n'),
  };
}

function endOf({ status, ended }: CaseResult): string {
  if (ended === undefined) return status;
  if (ended.kind === 'exception') return `#${ended.vector}(0x${ended.errorCode.toString(16)})`;
  if (ended.kind !== 'livelock') return ended.kind;
  const codes = ended.cycle.flatMap((turn) =>
    turn.kind === 'exception'
      ? [`#${turn.exception.vector}(0x${turn.exception.errorCode.toString(16)})`]
      : [],
  );
  return `livelock ${codes.join(' ')}`;
}
