import { DEBIAN_6_1 } from '@heki/linux';
import { describeTraceEvent } from '@heki/machine';
import {
  type MachineSpecification,
  runScenario,
  runWorkload,
  type ScenarioResult,
  WORKLOAD_SETTINGS,
  WORKLOADS,
} from '@heki/scenario';
import { type BootSettings, bootSettings, createBootMachine } from '../boot/boot-machine.ts';
import { type BootReport, bootText } from '../boot/boot-text.ts';
import { readKernelProfile } from '../boot/kernel-file.ts';
import { readScenario } from '../boot/scenario-file.ts';
import { type WorkloadRow, workloadText } from '../boot/workload-text.ts';
import { coloursFor } from '../colours.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import { type CommandIo, createLineWriter } from '../io.ts';
import { createProgress } from '../progress.ts';

/** Options of `heki boot`. */
export interface BootOptions {
  readonly memory?: string;
  readonly kernel?: string;
  readonly vcpus?: number;
  readonly levels?: 4 | 5;
  readonly kaslrSeed?: number;
  readonly cmdline?: string;
  readonly hypervisor?: string;
  readonly profile?: 'hardened' | 'rfc-v2';
  readonly mbec: boolean;
  readonly scenario?: string;
  readonly workload?: string;
  readonly trace?: boolean;
  readonly json?: boolean;
}

/** `heki boot`. Exit code 1 when boot, a step, or legitimate work did not come out as it should. */
export async function boot(options: BootOptions, io: CommandIo): Promise<number> {
  const asked = specification(options);
  if (options.workload !== undefined) {
    if (options.scenario !== undefined)
      throw new UsageError('--workload and --scenario: expected one of them');
    return workloads(options.workload, asked, options, io);
  }
  const scenario = options.scenario === undefined ? undefined : await readScenario(options.scenario);
  const settings = bootSettings({ ...scenario?.machine, ...asked });
  const kernel = settings.kernel === undefined ? DEBIAN_6_1 : await readKernelProfile(settings.kernel);
  const lines: string[] = [];
  const log: string[] = [];
  const pageLists = { sent: 0, refused: 0 };
  const { profile, mbec } = settings;
  const hypervisor = HYPERVISORS[settings.hypervisor].create({ profile, mbec });
  const { initcalls = [], steps = [] } = scenario ?? {};
  const all = [...initcalls, ...steps];
  const machine = createBootMachine(settings, {
    kernel,
    attackable: all.some((step) => step.do === 'attack'),
    processorEvents: options.trace ?? false,
    onEvent(event) {
      if (options.trace === true) lines.push(describeTraceEvent(hypervisor, event));
      if ((event.from === 'kernel' || event.from === 'guest') && event.event.type === 'log')
        log.push(event.event.text);
      if (event.from === 'guest' && event.event.type === 'page-list') {
        pageLists.sent++;
        if (event.event.result < 0) pageLists.refused++;
      }
    },
  });
  const progress = createProgress(io, { what: 'living', total: all.length });
  const result = runScenario(machine, steps, {
    initcalls,
    onStep: (_, index) => progress.update(index),
  });
  progress.stop();
  const report: BootReport = { ...result, settings, kernel: machine.kernel.profile.name, log, pageLists };
  const writer = createLineWriter(io.stdout);
  for (const line of lines) await writer.line(line);
  if (options.json === true) await writer.line(JSON.stringify(bootJson(report), undefined, 2));
  else
    for (const line of bootText(report, coloursFor(io.stdout, io.env)).split('\n').slice(0, -1))
      await writer.line(line);
  await writer.flush();
  return result.expected ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** What the options say of the machine. */
function specification(options: BootOptions): MachineSpecification {
  const { memory, kernel, vcpus, levels, kaslrSeed, cmdline, hypervisor, profile, mbec } = options;
  return {
    ...(memory === undefined ? {} : { memory }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(levels === undefined ? {} : { levels }),
    ...(kaslrSeed === undefined ? {} : { kaslrSeed }),
    ...(cmdline === undefined ? {} : { commandLine: cmdline }),
    ...(hypervisor === undefined ? {} : { hypervisor }),
    ...(profile === undefined ? {} : { profile }),
    ...(mbec ? {} : { mbec }),
  };
}

/** Runs legitimate work over all settings; what the options say of the hypervisor does not apply there. */
async function workloads(
  name: string,
  asked: MachineSpecification,
  options: BootOptions,
  io: CommandIo,
): Promise<number> {
  const chosen = name === 'all' ? WORKLOADS : WORKLOADS.filter((workload) => workload.name === name);
  if (chosen.length === 0) {
    throw new UsageError(`workload ${name}: expected all or ${WORKLOADS.map((one) => one.name).join(', ')}`);
  }
  const progress = createProgress(io, { what: 'working', total: chosen.length * WORKLOAD_SETTINGS.length });
  let done = 0;
  const rows: WorkloadRow[] = chosen.map((workload) => ({
    workload,
    outcomes: WORKLOAD_SETTINGS.map((setting) => {
      const outcome = runWorkload(workload, setting, (machine) =>
        createBootMachine(
          bootSettings({
            memory: '128MiB',
            ...machine,
            ...(asked.memory === undefined ? {} : { memory: asked.memory }),
          }),
        ),
      );
      progress.update(++done);
      return outcome;
    }),
  }));
  progress.stop();
  const text =
    options.json === true
      ? `${JSON.stringify(
          rows.map(({ workload, outcomes }) => ({
            workload: workload.name,
            outcomes: Object.fromEntries(
              WORKLOAD_SETTINGS.map((setting, index) => [setting.name, outcomes[index]]),
            ),
          })),
          undefined,
          2,
        )}\n`
      : workloadText(WORKLOAD_SETTINGS, rows, coloursFor(io.stdout, io.env));
  await io.stdout.write(text);
  const broken = rows.some(({ outcomes }) => outcomes.some(({ verdict }) => verdict === 'breaks'));
  return broken ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

function bootJson(report: BootReport): object {
  const { boot: verdict, bootReason, steps, classes, settings, kernel, log, pageLists, expected } = report;
  return {
    kernel,
    machine: settings satisfies BootSettings,
    boot: verdict,
    reason: bootReason,
    log,
    pageLists,
    steps: steps satisfies ScenarioResult['steps'],
    classes: classes.map((one) => ({
      ...one,
      mappings: Object.fromEntries(one.mappings),
      granted: Object.fromEntries(one.granted),
    })),
    expected,
  };
}
