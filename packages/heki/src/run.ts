import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { addAuditCommands } from './audit/audit-commands.ts';
import type { InspectOptions } from './commands/inspect.ts';
import { CPU_NAMES } from './cpu-names.ts';
import { ExitCode, UsageError } from './failure.ts';
import { addFleetCommands } from './fleet/fleet-commands.ts';
import {
  ATTACK_EXAMPLES,
  BOOT_EXAMPLES,
  COMPLETION_EXAMPLES,
  EXIT_CODES,
  EXPLORE_EXAMPLES,
  EXTRACT_EXAMPLES,
  FIND_EXAMPLES,
  INSPECT_EXAMPLES,
  KUNIT_EXAMPLES,
  PROTECT_EXAMPLES,
  READ_EXAMPLES,
  REPLAY_EXAMPLES,
  SYMBOLS_EXAMPLES,
  TRANSLATE_EXAMPLES,
  WALK_EXAMPLES,
} from './help/examples.ts';
import { HEKI_HYPERVISORS } from './hypervisor-names.ts';
import { type CommandIo, OutputClosed } from './io.ts';
import { limitsHelp } from './limits/limits.ts';
import {
  addAttackFlag,
  addBootFlags,
  addHypervisorFlags,
  addProfileFlags,
  commandLineOption,
  cpuOption,
  memoryOption,
  noMbecOption,
} from './machine-flags.ts';
import { asksForJson } from './report/asked-format.ts';
import { reportFailure } from './report/failure-report.ts';
import { guardedIo } from './report/guarded-io.ts';
import { VERSION, versionReport } from './report/report-header.ts';
import { screenOf } from './report/screen.ts';
import { parseWhole } from './whole-number.ts';

const DUMP =
  "a guest's memory: ELF core (QEMU, virsh dump --memory-only, /proc/vmcore), kdump, LiME or raw image, plain or packed (gzip, zstd, xz); A,B are the parts of a kdump that was split; qmp:PATH or gdb:HOST:PORT is a guest that runs under QEMU; https://HOST/PATH is a file on a web server, of which only what is needed is loaded, s3://BUCKET/KEY one in an object store; - is standard input";
/** The argument of commands that take the kernel which comes with heki, where none is named. */
const SNAPSHOT = ['[SNAPSHOT]', `${DUMP} (default: the Debian kernel that comes with heki)`] as const;
const CPU_OF_SNAPSHOT = `its processor: ${CPU_NAMES.join(', ')} (default: what its registers and page tables tell)`;

const STRICT = ['--strict', 'under rfc-v2, too, exit with 1 for a claim that is not kept'] as const;

function cpuIndexOption(meaning: string): Option {
  return new Option('--cpu-index <n>', meaning).argParser(parseWhole(0, 65_535));
}

/** The C-bit of a snapshot whose guest's memory is encrypted. */
function encryptionBitOption(): Option {
  const meaning =
    'the C-bit of memory encryption, 32 to 51 (default: what VMCOREINFO says, or most page-table entries have)';
  return new Option('--c-bit <n>', meaning).argParser(parseWhole(32, 51));
}

function cr3Option(meaning: string): Option {
  return new Option('--cr3 <x>', meaning).argParser((text) => {
    const digits = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(text)?.[1];
    if (digits === undefined)
      throw new InvalidArgumentError('Expected up to 16 hexadecimal digits, as 0x2a10000.');
    return BigInt(`0x${digits}`);
  });
}

function symbolsOption(): Option {
  return new Option(
    '--symbols <file>',
    "the kernel's System.map, a Debian package with it (-dbg), /proc/kallsyms or vmlinux (default: kallsyms in its memory)",
  );
}

function imageOption(): Option {
  return new Option(
    '--vmlinux <file>',
    "the kernel's image, whose bytes stand where the snapshot has none: vmlinux, bzImage (vmlinuz), or a Debian package",
  );
}

/** Adds what can be said of a snapshot whose kernel a command looks at. */
function addKernelFlags(command: Command): Command {
  return command
    .option('--cpu <name>', CPU_OF_SNAPSHOT)
    .addOption(cpuIndexOption("the kernel's page tables are those that this CPU stands on"))
    .addOption(cr3Option("the kernel's page tables are those at this value of CR3"))
    .addOption(encryptionBitOption())
    .option('--memory-map <file>', "the guest's /proc/iomem, or JSON with an iomem array");
}

/**
 * The commands and their options. What a command does is loaded when it is called, not before.
 *
 * @public for what asks it for the options that there are
 */
export function createProgram(io: CommandIo, finished: (exitCode: number) => void): Command {
  const program = new Command('heki')
    .description('Hypervisor-Enforced Kernel Integrity on the memory of real Linux kernels.')
    .version(VERSION, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .helpCommand(false)
    .addHelpText(
      'after',
      `
heki COMMAND --help shows examples. NO_COLOR turns colours off.
Exit codes: 0 done, 1 a finding, a refusal or a failure, 2 wrong usage, 3 a file that cannot be read.
With --json an error is JSON, too, on standard output.`,
    );

  addKernelFlags(
    addAttackFlag(addHypervisorFlags(program.command('protect')), 'tried after those that come with heki'),
  )
    .summary('protect a kernel as Heki does, then attack it')
    .description(
      'Builds a machine around a kernel snapshot, runs early and late init of Heki in it, and tries attacks on the kernel with and without Heki, side by side.',
    )
    .argument(...SNAPSHOT)
    .option('--kernel-config <file>', "the kernel's .config: Heki then refuses what it really would refuse")
    .addOption(symbolsOption())
    .addOption(imageOption())
    .option(...STRICT)
    .option('--trace', 'print every event of the protected machine')
    .option('--json', 'print one JSON object')
    .addHelpText('after', `${PROTECT_EXAMPLES}\n${EXIT_CODES}`)
    .action(async (snapshot: string | undefined, options) => {
      const { protect } = await import('./commands/protect.ts');
      finished(await protect(snapshot, options, io));
    });

  addAuditCommands(program, { snapshot: SNAPSHOT, symbolsOption, addKernelFlags, io, finished });

  addAttackFlag(
    addBootFlags(addHypervisorFlags(program.command('boot'))),
    'for steps that name them, and tried in the end where no step does',
  )
    .summary('boot a kernel under Heki, and let it live')
    .description(
      'Boots a modelled Linux kernel, takes the steps of a scenario, and shows what the hypervisor grants each kind of page in the end.',
    )
    .option('--scenario <file>', 'JSON: a machine, and steps after boot; options of this command win')
    .option(
      '--workload <name>',
      'run legitimate work with and without protection, on the hypervisor and the profile that are named or on KVM in both; all runs all',
    )
    .option(...STRICT)
    .option('--trace', 'print every event; with --json as `trace`')
    .option('--json', 'print one JSON object')
    .addHelpText('after', `${BOOT_EXAMPLES}\n${EXIT_CODES}`)
    .action(async (options) => {
      const { boot } = await import('./commands/boot.ts');
      finished(await boot(options, io));
    });

  program
    .command('inspect')
    .argument('[SOURCE]', `${DUMP} (default: the Debian kernel that comes with heki)`)
    .summary('walk a kernel in the browser')
    .description(
      "Serves a page to this machine alone: a map of the kernel's physical memory with what an audit finds, and the walk of any address with bits that can be edited.",
    )
    .option('--no-open', 'print the address, and open no browser')
    .option(
      '--story <file>',
      'begin with the story in a file: of heki explore --json, heki attack --json, or a scenario',
    )
    .option('--static <folder>', 'write the page as a web site instead, to a new folder')
    .option('--json', 'print the address, the port and the process as one JSON object')
    .addHelpText('after', `${INSPECT_EXAMPLES}\n${EXIT_CODES}`)
    .action(async (source: string | undefined, options: InspectOptions) => {
      const { inspect } = await import('./commands/inspect.ts');
      finished(await inspect(source, options, io));
    });

  program
    .command('backends')
    .argument('[name...]', `${HEKI_HYPERVISORS.join(', ')}, or an ES module of your own (default: all)`)
    .summary('compare the hypervisors')
    .description(
      'What each hypervisor can enforce, who decides, and what a boot and a module load cost there.',
    )
    .addOption(cpuOption())
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `\nExamples:\n  heki backends\n  heki backends kvm hyperv-lvbs\n  heki backends --json | jq '.backends[].cost'`,
    )
    .action(async (names: string[], options: { json?: boolean; cpu?: string }) => {
      const { backends } = await import('./commands/backends.ts');
      finished(await backends(names, options, io));
    });

  addHypervisorFlags(program.command('kunit'))
    .summary("run Heki's KUnit tests")
    .description(
      'Boots a kernel for each test and runs it where heki_late_init does. Prints KTAP. Under rfc-v2 the four tests of the series run as published, under hardened as ports that come back from a fault.',
    )
    .addOption(cpuOption())
    .addOption(memoryOption('128MiB'))
    .addOption(commandLineOption('heki=0, heki_test=N, nokaslr'))
    .option('--suite <name...>', 'heki, heki_v3, heki_model (default: all)')
    .option('--test <n>', 'only test N of the suite, by default heki, as heki_test=N', parseWhole(1, 1000))
    .option('--list', 'list the tests instead')
    .option('--json', 'print one JSON object instead of KTAP')
    .addHelpText('after', KUNIT_EXAMPLES)
    .action(async (options) => {
      const { kunit } = await import('./commands/kunit.ts');
      finished(await kunit(options, io));
    });

  addProfileFlags(program.command('explore'))
    .summary('search a small machine for the shortest attack')
    .description(
      'Looks at everything that an attacker, the VMM and devices can do on a machine with a guest of a few frames, nearest first, and prints the shortest way to whatever should not happen.',
    )
    .option(
      '--machine <name>',
      'kvm, kvm-vmm, kvm-vtl, kvm-planes, hyperv, xen, an ES module of your own, kvm-interleaved, hyperv-interleaved, xen-interleaved, hlat, hlat-off, hlat-unverified, hlat-paging-write-everywhere, guest, lvbs, authority, or abstract-NAME (default: kvm)',
    )
    .option(
      '--property <id...>',
      'only these, and the search ends when each has fallen: P1, P6, ... (default: all)',
    )
    .option('--without <who...>', 'vmm, device, hypervisor, owner: who does nothing')
    .option(
      '--depth <n>',
      'most actions in a row (default: 2, interleaved ones, hlat and lvbs 3, authority 5; abstract machines: no bound)',
      parseWhole(0, 1000),
    )
    .option('--states <n>', 'most states (default: 1,000,000)', parseWhole(1, 16_000_000))
    .option('--time <seconds>', 'ends the search after so long', parseWhole(1, 1_000_000))
    .option(
      '--workers <n>',
      'threads that look at states of a long search (default: one per processor)',
      parseWhole(1, 64),
    )
    .option(
      '--resume <file>',
      'keeps the search in this file now and then, and goes on from there: after a kill, an end of time, or a narrower bound',
    )
    .option(
      '--replay <file>',
      'instead of a search: tells the stories of what --json printed again, on this machine; of what --write wrote, on that of the file, as far as options do not say otherwise',
    )
    .option(
      '--write <folder>',
      'writes each story there, as a file for --replay and as a test with the published packages',
    )
    .option('--force', 'replace files that are there')
    .addOption(noMbecOption())
    .addOption(cpuOption())
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXPLORE_EXAMPLES)
    .action(async (options) => {
      const { explore } = await import('./commands/explore.ts');
      finished(await explore(options, io));
    });

  program
    .command('attack')
    .summary('try known attacks on every machine')
    .description(
      'Boots a kernel for each attempt, attacks it, and reads the outcome from host bytes and from what ran. Every attack is written once, and meets every machine (docs/attacks.md).',
    )
    .argument('[NAME...]', 'attacks, told in detail (default: all)')
    .option('--machine <name...>', 'only on these machines')
    .option(
      '--prove',
      'take out what machines have, one after the other, until the attack succeeds: that stopped it',
    )
    .option('--snapshot <file>', `attack the kernel of ${DUMP} instead, as it stands`)
    .option('--memory-map <file>', "the guest's /proc/iomem, or JSON with an iomem array, for --snapshot")
    .addOption(
      new Option('--list', 'list attacks and machines instead').conflicts([
        'prove',
        'machine',
        'markdown',
        'html',
        'snapshot',
      ]),
    )
    .option('--json', 'print one JSON object instead')
    .option('--markdown <file>', 'write Markdown, too')
    .option('--html <file>', 'write a page that opens from disk, too')
    .addHelpText('after', ATTACK_EXAMPLES)
    .action(async (names, options) => {
      const { attack } = await import('./commands/attack.ts');
      finished(await attack(names, options, io));
    });

  program
    .command('walk')
    .summary("list the leaves of a kernel's page tables")
    .description("Walks the kernel half of a snapshot's page tables and prints its leaves.")
    .argument(...SNAPSHOT)
    .option('--user', "the user's half instead of the kernel's")
    .addOption(cpuIndexOption('the address space that this CPU stands on, as it is'))
    .addOption(cr3Option('the address space at this value of CR3, as it is'))
    .addOption(encryptionBitOption())
    .option('--range <VA-VA>', 'only these addresses, hexadecimal or SYMBOL+OFFSET, the end exclusive')
    .option(
      '--symbols [file]',
      "name what begins at the addresses, by the kernel's System.map, /proc/kallsyms or vmlinux (default: kallsyms in its memory)",
    )
    .addOption(imageOption())
    .option('--cpu <name>', CPU_OF_SNAPSHOT)
    .addOption(new Option('--format <name>').choices(['table', 'info-tlb', 'json']).default('table'))
    .addOption(new Option('--json', 'print one JSON object, as --format json').conflicts('format'))
    .addHelpText('after', WALK_EXAMPLES)
    .action(async (snapshot: string | undefined, options) => {
      const { walk } = await import('./commands/walk.ts');
      finished(await walk(snapshot, options.json ? { ...options, format: 'json' } : options, io));
    });

  program
    .command('translate')
    .summary('translate one address as the processor does')
    .description('Decodes the page-table entry of each level, and says what the access meets and why.')
    .usage('[options] [SNAPSHOT] <VA>')
    .argument(...SNAPSHOT)
    .argument('[VA]', 'virtual address, hexadecimal, or SYMBOL+OFFSET')
    .addOption(symbolsOption())
    .addOption(imageOption())
    .addOption(new Option('--access <kind>').choices(['read', 'write', 'fetch']).default('read'))
    .option('--user', 'from user mode (CPL 3)')
    .addOption(cpuIndexOption('in the address space that this CPU stands on, as it is'))
    .addOption(cr3Option('in the address space at this value of CR3, as it is'))
    .addOption(encryptionBitOption())
    .option('--cpu <name>', CPU_OF_SNAPSHOT)
    .option('--json', 'print one JSON object')
    .addHelpText('after', TRANSLATE_EXAMPLES)
    .action(async (first: string | undefined, second: string | undefined, options) => {
      const { translate } = await import('./commands/translate.ts');
      const [snapshot, address] = second === undefined ? [undefined, first] : [first, second];
      if (address === undefined) throw new UsageError('missing VA: expected a virtual address');
      finished(await translate(snapshot, address, options, io));
    });

  program
    .command('symbols')
    .summary('what is where in a kernel: names to addresses, and back')
    .description(
      "Decodes the kernel's own table of symbols, kallsyms, out of a snapshot's memory, and tells where KASLR has them.",
    )
    .argument('<SNAPSHOT>', DUMP)
    .argument(
      '[NAME|ADDRESS]',
      'a symbol, a pattern with * and ?, SYMBOL+OFFSET, or an address, hexadecimal (default: all)',
    )
    .addOption(symbolsOption())
    .addOption(imageOption())
    .addOption(cpuIndexOption("the kernel's page tables are those that this CPU stands on"))
    .addOption(cr3Option("the kernel's page tables are those at this value of CR3"))
    .addOption(encryptionBitOption())
    .option('--modules', 'list the modules that are loaded, their parts and sections, instead of symbols')
    .option('--json', 'print one JSON object')
    .addHelpText('after', SYMBOLS_EXAMPLES)
    .action(async (snapshot: string, what: string | undefined, options) => {
      const { symbols } = await import('./commands/symbols.ts');
      finished(await symbols(snapshot, what, options, io));
    });

  program
    .command('read')
    .summary('bytes of a kernel, as hexadecimal and as instructions')
    .description(
      'Reads memory by virtual address: as instructions where it can be executed, else as hexadecimal.',
    )
    .argument('<SNAPSHOT>', DUMP)
    .argument('<ADDRESS>', 'virtual address, hexadecimal, or SYMBOL+OFFSET')
    .argument('[LENGTH]', 'bytes, decimal or hexadecimal with 0x (default: 128)')
    .addOption(new Option('--as <kind>', 'whatever the page allows').choices(['hex', 'code']))
    .addOption(symbolsOption())
    .addOption(imageOption())
    .addOption(cpuIndexOption('in the address space that this CPU stands on, as it is'))
    .addOption(cr3Option('in the address space at this value of CR3, as it is'))
    .addOption(encryptionBitOption())
    .option('--json', 'print one JSON object')
    .addHelpText('after', READ_EXAMPLES)
    .action(async (snapshot: string, address: string, length: string | undefined, options) => {
      const { parseLength, read } = await import('./commands/read.ts');
      const bytes = length === undefined ? undefined : parseLength(length);
      finished(await read(snapshot, address, bytes, options, io));
    });

  program
    .command('find')
    .summary('mappings by permission, physical address, aliases, symbol or region')
    .description(
      "Lists the mappings of the kernel's half that are as asked, each with how many mappings its frames have. What is asked for together must all be so.",
    )
    .argument('<SNAPSHOT>', DUMP)
    .option('--permissions <rwx>', 'of all levels together: rwx, r-x; ? is any')
    .option('--physical <PA-PA>', 'that lead to this physical address, or to a range, the end exclusive')
    .option('--aliases <n>', 'of frames that have so many mappings or more', parseWhole(1, 1_000_000))
    .option('--symbol <name>', 'of the frame that this symbol lies in: SYMBOL or SYMBOL+OFFSET')
    .option('--region <name>', "in this region: 'direct map', 'kernel text', 'module xfs', vmalloc")
    .addOption(symbolsOption())
    .addOption(imageOption())
    .addOption(cpuIndexOption("the kernel's page tables are those that this CPU stands on"))
    .addOption(cr3Option("the kernel's page tables are those at this value of CR3"))
    .addOption(encryptionBitOption())
    .option('--json', 'print one JSON object')
    .addHelpText('after', FIND_EXAMPLES)
    .action(async (snapshot: string, options) => {
      const { find } = await import('./commands/find.ts');
      finished(await find(snapshot, options, io));
    });

  program
    .command('extract')
    .summary('page tables and registers of a dump, without its contents')
    .description(
      'Writes a small ELF core with the page tables and registers of a dump and none of its contents: enough for every other command, and for a bug report. Tells what it discloses.',
    )
    .argument('<SNAPSHOT>', DUMP)
    .requiredOption(
      '-o, --output <file>',
      'the core to write, packed if its name ends in .gz; - for standard output, packed',
    )
    .option('--user', "keep the user half of the CPUs' page tables")
    .option('--redact', 'take out what KASLR chose, general registers, versions, the command line and names')
    .addOption(encryptionBitOption())
    .option('--memory-map <file>', "the guest's /proc/iomem, or JSON with an iomem array, to go beside it")
    .option('--force', 'replace files that are there')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXTRACT_EXAMPLES)
    .action(async (snapshot: string, options) => {
      const { extract } = await import('./commands/extract.ts');
      finished(await extract(snapshot, options, io));
    });

  addProfileFlags(program.command('replay'))
    .addOption(noMbecOption())
    .summary("replay a real kernel's life under Heki")
    .description(
      "Makes the calls that a real kernel made of Heki's hooks, from boot through module loading and text patching, and tells what KVM grants each page in the end.",
    )
    .argument('<RECORDING>', 'calls of the hooks with the mappings that each met, JSON, plain or gzip')
    .option(...STRICT)
    .option('--json', 'print one JSON object')
    .addHelpText('after', `${REPLAY_EXAMPLES}\n${EXIT_CODES}`)
    .action(async (recording: string, options) => {
      const { replay } = await import('./commands/replay.ts');
      finished(await replay(recording, options, io));
    });

  addFleetCommands(program, { io, finished, run });

  program
    .command('completion')
    .addArgument(new Argument('<SHELL>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .summary('complete commands and options in your shell')
    .description('Prints the script by which a shell completes commands, options and their values.')
    .addHelpText('after', COMPLETION_EXAMPLES)
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completion } = await import('./commands/completion.ts');
      finished(await completion(shell, program, io));
    });

  program
    .command('help')
    .argument('[command]')
    .summary('show the help of a command')
    .action((name: string | undefined) => {
      const named = name === undefined ? program : program.commands.find((one) => one.name() === name);
      if (named === undefined) throw new UsageError(`unknown command '${name}'`);
      named.help();
    });
  for (const command of program.commands) command.addHelpText('after', () => limitsHelp(command.name()));
  return program;
}

/**
 * Runs the command line `given` (without the program's name) and returns its exit code, an `ExitCode`. Writes to `io` alone and
 * never throws.
 */
export async function run(given: readonly string[], outer: CommandIo): Promise<number> {
  const args = given.some((argument) => /^(?:https?|s3):/i.test(argument))
    ? await bareAddresses(given)
    : given;
  const io = guardedIo(args, outer);
  let exitCode: number = ExitCode.SUCCESS;
  let help = '';
  const program = createProgram(io, (code) => {
    exitCode = code;
  });
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => {
        help += text;
      },
      writeErr: () => {},
      getOutHelpWidth: () => Math.min(screenOf(io.stdout, io.env).columns, 120),
    });
  }
  try {
    if (args.length === 0) throw new UsageError('no command');
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof OutputClosed) return exitCode;
    const isHelp = error instanceof CommanderError && error.exitCode === 0;
    if (!isHelp) return reportFailure(error, args, io, hintFor(error, args, program));
    if (error.code === 'commander.version' && asksForJson(args)) {
      help = `${JSON.stringify(versionReport(), undefined, 2)}\n`;
    }
  }
  try {
    if (help !== '') await io.stdout.write(help);
  } catch (error) {
    if (!(error instanceof OutputClosed)) return reportFailure(error, args, io);
  }
  return exitCode;
}

/** The command line without the credentials of its web addresses: from here on only the one who reads there knows them. */
async function bareAddresses(args: readonly string[]): Promise<string[]> {
  const { withoutCredentials } = await import('./input/web-credentials.ts');
  return args.map(withoutCredentials);
}

/** Where to read on, for somebody who called the command wrongly. */
function hintFor(error: unknown, args: readonly string[], program: Command): string {
  if (args.length === 0) return `\n${program.helpInformation()}`;
  if (!(error instanceof CommanderError)) return '';
  const called = program.commands.find((command) => command.name() === args[0])?.name();
  return `(heki ${called === undefined ? '' : `${called} `}--help tells what there is)\n`;
}
