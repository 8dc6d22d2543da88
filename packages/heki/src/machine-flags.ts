import { PROFILES, type Profile } from '@heki/series';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { HEKI_HYPERVISORS } from './hypervisor-names.ts';

/** What the options of a command say of a machine; `specificationOf` makes a specification of it. */
export interface MachineFlags {
  readonly memory?: string;
  readonly kernel?: string;
  readonly vcpus?: number;
  readonly levels?: 4 | 5;
  readonly kaslrSeed?: number;
  readonly cmdline?: string;
  readonly hypervisor?: string;
  readonly secureKernel?: string;
  readonly profile?: Profile;
  /** Of `--defect` and `--no-defect`. */
  readonly defect?: Readonly<Record<string, boolean>>;
  readonly mbec?: boolean;
  readonly hlat?: boolean;
  readonly authenticate?: boolean;
  readonly cpu?: string;
}

/** Adds `--profile`, `--defect` and `--no-defect`. */
export function addProfileFlags(command: Command): Command {
  const text = 'the series as published, or with its defects mended (default: hardened)';
  return command
    .addOption(new Option('--profile <name>', text).choices(PROFILES))
    .option(
      '--defect <id>',
      'with this defect (docs/defects.md), whatever the profile; repeatable',
      choose(true),
    )
    .option('--no-defect <id>', 'without it', choose(false));
}

/** Adds the flags of {@link addProfileFlags}, and those that choose the hypervisor and its execute control. */
export function addHypervisorFlags(command: Command): Command {
  const names = `${HEKI_HYPERVISORS.join(', ')}; none: a hypervisor without Heki; or an ES module of your own, ./mine.mjs (default: kvm)`;
  return addProfileFlags(command)
    .option('--hypervisor <name>', names)
    .option(
      '--secure-kernel <name>',
      "what runs in Hyper-V's VTL1: hardened, lvbs-2026-02 (default: hardened)",
    )
    .option('--no-mbec', 'a processor without mode-based execute control')
    .option('--hlat', 'KVM holds the linear addresses of what is protected (HLAT), where the processor can')
    .option(
      '--authenticate',
      "KVM owns the kernel's code once boot is over: modules and patches are asked for by what was signed",
    );
}

/** Adds `--attack`. @param tried when the attacks are tried */
export function addAttackFlag(command: Command, tried: string): Command {
  const text = `an ES module with attacks of your own, ${tried}; repeatable`;
  return command.option('--attack <module>', text, (path: string, before: readonly string[] = []) => [
    ...before,
    path,
  ]);
}

type Choices = Readonly<Record<string, boolean>>;

/** Collects ids; the last word about each counts. */
function choose(on: boolean): (id: string, before: Choices | undefined) => Choices {
  return (id, before) => {
    if (id === '') throw new InvalidArgumentError('Expected the id of a defect.');
    return { ...before, [id]: on };
  };
}
