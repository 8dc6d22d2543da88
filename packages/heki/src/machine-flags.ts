import type { MachineSpecification } from '@heki/machine';
import { MACHINE_LIMITS } from '@heki/machine/limits';
import { PROFILES } from '@heki/series';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CPU_NAMES } from './cpu-names.ts';
import { HEKI_HYPERVISORS } from './hypervisor-names.ts';
import { parseWhole } from './whole-number.ts';

/** What the options of a command say of a machine, by the names that they have on the command line. */
export interface MachineFlags
  extends Pick<
    MachineSpecification,
    | 'memory'
    | 'kernel'
    | 'vcpus'
    | 'levels'
    | 'kaslrSeed'
    | 'hypervisor'
    | 'profile'
    | 'mbec'
    | 'hlat'
    | 'authenticate'
  > {
  readonly cmdline?: string;
  readonly secureKernel?: string;
  /** Of `--defect` and `--no-defect`. */
  readonly defect?: Readonly<Record<string, boolean>>;
  readonly cpu?: string;
}

/** The same by the names of a specification. Names of processors and of secure kernels are left to whoever knows them all. */
export function fieldsOfFlags(flags: MachineFlags): Omit<MachineSpecification, 'secureKernel' | 'cpu'> {
  return {
    memory: flags.memory,
    kernel: flags.kernel,
    vcpus: flags.vcpus,
    levels: flags.levels,
    kaslrSeed: flags.kaslrSeed,
    commandLine: flags.cmdline,
    hypervisor: flags.hypervisor,
    profile: flags.profile,
    defects: flags.defect,
    // What is not said leaves the word to others, and without `--no-mbec` nothing is said.
    mbec: flags.mbec === false ? false : undefined,
    hlat: flags.hlat,
    authenticate: flags.authenticate,
  };
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
    .addOption(noMbecOption())
    .option('--hlat', 'KVM holds the linear addresses of what is protected (HLAT), where the processor can')
    .option(
      '--authenticate',
      "KVM owns the kernel's code once boot is over: modules and patches are asked for by what was signed",
    );
}

/** Adds what else there is to say of a kernel that boots, and of its machine. */
export function addBootFlags(command: Command): Command {
  return command
    .addOption(memoryOption('512MiB'))
    .option(
      '--kernel <file>',
      "the symbols of another kernel than Debian's 6.1: System.map, /proc/kallsyms, or JSON with symbols",
    )
    .option('--vcpus <n>', 'virtual CPUs (default: 1)', parseWhole(1, MACHINE_LIMITS.vcpus))
    .addOption(
      new Option('--levels <n>', 'paging levels (default: 4)').choices(['4', '5']).argParser(parseLevels),
    )
    .option('--kaslr-seed <n>', 'randomize the layout', parseWhole(0, 2 ** 32 - 1))
    .addOption(commandLineOption('heki=0, rodata=off, nokaslr, pti=on, nosmp, maxcpus=N'))
    .addOption(cpuOption());
}

export function memoryOption(standard: string): Option {
  return new Option('--memory <size>', `RAM: a number of MiB or GiB (default: ${standard})`);
}

export function commandLineOption(examples: string): Option {
  return new Option('--cmdline <text>', `the kernel's command line: ${examples}`);
}

export function cpuOption(): Option {
  return new Option('--cpu <name>', `the processor: ${CPU_NAMES.join(', ')} (default: ${CPU_NAMES[0]})`);
}

export function noMbecOption(): Option {
  return new Option('--no-mbec', 'a processor without mode-based execute control');
}

function parseLevels(text: string): 4 | 5 {
  if (text === '4' || text === '5') return text === '4' ? 4 : 5;
  throw new InvalidArgumentError('Expected 4 or 5.');
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
