import type { Severity } from '@heki/audit';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { FLEET_EXAMPLES } from '../help/examples.ts';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import type { CommandIo } from '../io.ts';
import { parseWhole } from '../whole-number.ts';

/** What these commands share with the others. */
interface Shared {
  readonly io: CommandIo;
  readonly finished: (exitCode: number) => void;
  /** Runs a command line: jobs are some. */
  readonly run: (args: readonly string[], io: CommandIo) => Promise<number>;
}

/** Written out, since a command that audits nothing need not load the audit. */
const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] satisfies Severity[];

const SOURCES = [
  '<SOURCE...>',
  'files, patterns as dumps/*.elf.gz, addresses as for audit, or a manifest: JSON with items',
] as const;

/** Adds `fleet` and its commands to the program. */
export function addFleetCommands(program: Command, { io, finished, run }: Shared): void {
  const fleet = program
    .command('fleet')
    .summary('audit thousands of guests')
    .description(
      'Audits many guests by workers, each job in a process of its own with limits of time and memory, and keeps the results: in a folder, or in a PostgreSQL database that many machines share.',
    )
    .usage('<action> [options]')
    .helpCommand(false)
    .addHelpText('after', FLEET_EXAMPLES);

  addWorkFlags(addSubmitFlags(action('run', 'submit, and work until everything is done')))
    .argument(...SOURCES)
    .option('--json', 'print one JSON object')
    .action(async (sources: string[], options) => {
      const { fleetRun } = await import('../commands/fleet/run.ts');
      finished(await fleetRun(sources, options, io));
    });

  addSubmitFlags(action('submit', 'add guests to the queue'))
    .argument(...SOURCES)
    .option('--json', 'print one JSON object')
    .action(async (sources: string[], options) => {
      const { fleetSubmit } = await import('../commands/fleet/submit.ts');
      finished(await fleetSubmit(sources, options, io));
    });

  addWorkFlags(action('work', 'take jobs from the queue, and do them'))
    .option('--stay', 'wait for more when the queue is empty')
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetWork } = await import('../commands/fleet/work.ts');
      finished(await fleetWork(options, io));
    });

  action('status', 'what waits, what is done, what failed')
    .option('--watch', 'print it again every two seconds, until nothing waits; with --json an object a line')
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetStatus } = await import('../commands/fleet/status.ts');
      finished(await fleetStatus(options, io));
    });

  action('results', 'what came of it')
    .option(
      '--since <time>',
      'finished since: 2026-11-29, 2026-11-29T13:00:00Z, or 24h ago as 24h',
      parseTime,
    )
    .option('--finding <id>', 'only guests with this finding: heki/wx-alias')
    .addOption(
      new Option('--outcome <name>', 'only these').choices(['pass', 'fail', 'unreadable', 'changed']),
    )
    .addOption(new Option('--csv', 'print comma-separated values').conflicts(['json', 'sarif']))
    .addOption(new Option('--sarif', 'print SARIF 2.1.0: the findings of all guests').conflicts('json'))
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetResults } = await import('../commands/fleet/results.ts');
      finished(await fleetResults(options, io));
    });

  action('report', 'a page that shows the fleet')
    .requiredOption('--html <file>', 'the page to write, which opens from disk')
    .option('--since <time>', 'of what was finished since: as for results', parseTime)
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetReport } = await import('../commands/fleet/report.ts');
      finished(await fleetReport(options, io));
    });

  action('setup', 'make the tables on a server, and say who may use them')
    .option('--submitter <role...>', 'roles that may add guests, and read no results', collectRoles)
    .option('--worker <role...>', 'roles that may take jobs and keep results', collectRoles)
    .option('--reader <role...>', 'roles that may read, and change nothing', collectRoles)
    .option('--keeper <role...>', 'roles that may forget what is old', collectRoles)
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetSetup } = await import('../commands/fleet/setup.ts');
      finished(await fleetSetup(options, io));
    });

  action('set-aside', 'what failed three times, and why')
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetSetAside } = await import('../commands/fleet/set-aside.ts');
      finished(await fleetSetAside(options, io));
    });

  action('show', 'the report of one result, as audit --json printed it')
    .argument('<ID>', 'of a result: heki fleet results tells it', parseId)
    .option('--json', 'the same')
    .action(async (id: string, options) => {
      const { fleetShow } = await import('../commands/fleet/show.ts');
      finished(await fleetShow(id, options, io));
    });

  action('retry', 'try again what was set aside, or cancelled')
    .argument('[ID...]', 'of jobs (default: all)', collectIds)
    .option('--json', 'print one JSON object')
    .action(async (ids: readonly string[] | undefined, options) => {
      const { fleetRetry } = await import('../commands/fleet/change.ts');
      finished(await fleetRetry(ids, options, io));
    });

  action('cancel', 'take back what waits')
    .argument('[ID...]', 'of jobs (default: all)', collectIds)
    .option('--json', 'print one JSON object')
    .action(async (ids: readonly string[] | undefined, options) => {
      const { fleetCancel } = await import('../commands/fleet/change.ts');
      finished(await fleetCancel(ids, options, io));
    });

  action('purge', 'forget old results, and what was set aside or cancelled')
    .addOption(
      new Option('--older-than <days>', 'what ended before that')
        .argParser(parseWhole(0, 36_500))
        .makeOptionMandatory(),
    )
    .option('--json', 'print one JSON object')
    .action(async (options) => {
      const { fleetPurge } = await import('../commands/fleet/change.ts');
      finished(await fleetPurge(options, io));
    });

  fleet
    .command('serve-jobs', { hidden: true })
    .addOption(memoryOption())
    .action(async ({ memory }: { memory: number }) => {
      const { fleetServeJobs } = await import('../commands/fleet/serve-jobs.ts');
      finished(await fleetServeJobs(memory, run));
    });

  function action(name: string, summary: string): Command {
    return fleet
      .command(name)
      .summary(summary)
      .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
      .option('--data <folder>', 'where an embedded database is (default: .heki-fleet)', parseFolder)
      .addOption(
        new Option(
          '--database <url>',
          'a PostgreSQL server instead: postgres://USER@HOST/NAME; its password by PGPASSWORD or PGPASSFILE',
        ).conflicts('data'),
      )
      .addOption(
        new Option('--tenant <name>', 'whose queue and results: letters, digits, underscores').argParser(
          parseTenant,
        ),
      );
  }
}

function addSubmitFlags(command: Command): Command {
  return command
    .addOption(new Option('--fail-on <severity>', 'as for audit (default: high)').choices(SEVERITIES))
    .option('--baseline <file>', 'findings that are known and accepted')
    .option('--vmlinux <file>', "the guests' kernel image, as for audit")
    .option('--no-heki', 'do not work out what Heki would do')
    .option('--redact', 'leave out addresses, the command line and names')
    .addOption(
      new Option('--hypervisor <name>', 'as for audit (default: kvm)').choices([...HEKI_HYPERVISORS, 'none']),
    )
    .addOption(
      new Option('--time-limit <seconds>', 'a job may take so long')
        .argParser(parseWhole(1, 3600))
        .default(120),
    );
}

function addWorkFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--concurrency <n>', 'jobs at the same time (default: the processors)').argParser(
        parseWhole(1, 1024),
      ),
    )
    .addOption(memoryOption())
    .addOption(
      new Option('--log <form>', 'what goes to standard error').choices(['text', 'json']).default('text'),
    )
    .option(
      '--metrics <address>',
      'serve metrics to Prometheus: [HOST:]PORT; traces go where OTEL_EXPORTER_OTLP_ENDPOINT says',
      parseListener,
    );
}

/** Where to listen, on this machine alone when no host is named. */
function parseListener(text: string): { host: string; port: number } {
  const [, bracketed, host = 'localhost', port] = /^(?:\[([^\]]+)\]:|([^:]+):)?(\d{1,5})$/.exec(text) ?? [];
  if (Number(port) > 0 && Number(port) < 2 ** 16) return { host: bracketed ?? host, port: Number(port) };
  throw new InvalidArgumentError('Expected PORT or HOST:PORT, as 9464 or 0.0.0.0:9464.');
}

function memoryOption(): Option {
  return new Option('--memory <MiB>', 'of the process of a job')
    .argParser(parseWhole(64, 1_048_576))
    .default(1024);
}

function parseFolder(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('Expected the name of a folder, as it stands here: ./fleet.');
}

function parseTenant(text: string): string {
  if (/^[a-z][a-z0-9_]{0,29}$/.test(text)) return text;
  throw new InvalidArgumentError(
    'Expected a small letter, then up to 29 small letters, digits and underscores.',
  );
}

function parseId(text: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Expected an id as 780713ff-c35a-8252-985a-fca2f45078aa.');
}

function collectRoles(text: string, before: readonly string[] = []): readonly string[] {
  if (/^[a-z_][a-z0-9_]{0,62}$/.test(text)) return [...before, text];
  throw new InvalidArgumentError('Expected a role of small letters, digits and underscores.');
}

function collectIds(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, parseId(text)];
}

const UNITS = { m: 60, h: 3600, d: 86_400 } as const;

/** The moment of `24h`, that long ago, or of a date. */
function parseTime(text: string): Date {
  const [, amount, unit] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  if (amount !== undefined)
    return new Date(Date.now() - Number(amount) * UNITS[unit as keyof typeof UNITS] * 1000);
  const time = /^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?$/.test(text) ? new Date(text) : undefined;
  // To JavaScript the 30th of February is the 2nd of March.
  const day = text.slice(0, 10);
  const isDay = time !== undefined && new Date(day).toJSON()?.startsWith(day);
  if (isDay && !Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError('Expected 2026-11-29, 2026-11-29T13:00:00Z, or how long ago: 30m, 24h, 7d.');
}
