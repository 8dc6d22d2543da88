import { sep } from 'node:path';
import { BOOT_STEPS } from '@heki/linux';
import { joinSpecifications, type MachineSpecification, machineSettings } from '@heki/machine';
import { type ComposedScenario, runScenario, ScenarioError } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';
import { bootJson } from '../boot/boot-json.ts';
import { createBootMachine, withholdsExecution } from '../boot/boot-machine.ts';
import { type BootReport, bootText } from '../boot/boot-text.ts';
import { bootVerdict, bootWarnings } from '../boot/boot-verdict.ts';
import { readKernelProfile } from '../boot/kernel-file.ts';
import { runWorkloads } from '../boot/run-workloads.ts';
import { fileErrorText, InputError, UsageError } from '../failure.ts';
import { HYPERVISOR_NAMES } from '../hypervisor-names.ts';
import { isHypervisorName } from '../hypervisors.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { createProgress } from '../progress.ts';
import { writeReport } from '../report/write-report.ts';
import { specificationOf } from '../specification.ts';
import { exitCodeOf } from '../verdict/finding.ts';

/** Options of `heki boot`. */
export interface BootOptions extends MachineFlags {
  readonly scenario?: string;
  readonly workload?: string;
  readonly strict?: boolean;
  readonly trace?: boolean;
  readonly json?: boolean;
}

/** `heki boot`. Exit code 1 when there is a finding that makes it fail: a step that did not come out as it should, a claim that is not kept. */
export async function boot(options: BootOptions, io: CommandIo): Promise<number> {
  const asked = specificationOf(options);
  if (options.workload !== undefined) {
    for (const other of ['scenario', 'trace'] as const) {
      if (options[other] !== undefined)
        throw new UsageError(`--workload and --${other}: expected one of them`);
    }
    const { json = false, strict = false } = options;
    return runWorkloads({ name: options.workload, asked, json, strict }, io);
  }
  const scenario = await scenarioOf(options.scenario, asked);
  const settings = machineSettings(scenario.machine);
  const kernel = settings.kernel === undefined ? undefined : await readKernelProfile(settings.kernel);
  const lines: string[] = [];
  const log: string[] = [];
  const pageLists = { sent: 0, refused: 0 };
  const progress = createProgress(io, {
    what: 'living',
    total: BOOT_STEPS.length + (scenario.initcalls ?? []).length + scenario.steps.length,
  });
  let bootSteps = 0;
  let steps = 0;
  let now = '';
  const machine = createBootMachine(scenario, {
    kernel,
    processorEvents: options.trace ?? false,
    onEvent({ from, event }, describe) {
      if (from === 'kernel' && event.type === 'boot-step') {
        now = event.step;
        bootSteps++;
      }
      // Long ones are long because of what the hypervisor does in them.
      if (from === 'kernel' || from === 'hypervisor') progress.update(bootSteps + steps, now);
      if (options.trace === true) lines.push(describe());
      if ((from === 'kernel' || from === 'guest') && event.type === 'log') log.push(event.text);
      if (from === 'guest' && event.type === 'page-list') {
        pageLists.sent++;
        if (event.result < 0) pageLists.refused++;
      }
    },
  });
  const result = runScenario(machine, scenario, ({ do: action }, index) => {
    now = action;
    steps = index;
    progress.update(bootSteps + steps, now);
  });
  progress.stop();
  const strictness = { profile: settings.profile, strict: options.strict ?? false };
  const verdict = bootVerdict(machine, result, strictness);
  const report: BootReport = {
    ...result,
    settings: { ...settings, mbec: withholdsExecution(scenario.machine) },
    kernel: machine.kernel.profile.name,
    hekiInit: machine.kernel.hekiInit,
    log,
    pageLists,
    verdict,
    warnings: bootWarnings(machine, result, verdict),
  };
  await writeReport(
    'boot',
    {
      json: () => ({ ...bootJson(report), ...(options.trace === true ? { trace: lines } : {}) }),
      text: (screen) => [...lines, ...bootText(report, screen)],
    },
    options,
    io,
  );
  return exitCodeOf(report.verdict.findings, report.verdict);
}

/** The text of a file. @throws {InputError} when it cannot be read */
async function readFileText(path: string): Promise<string> {
  try {
    return await readText(path, INPUT_KINDS.scenario);
  } catch (error) {
    const why = fileErrorText(error);
    throw why === undefined ? error : new InputError(why, { file: path }, error);
  }
}

/** The scenario in `file`, or a life without steps; what was asked for says the last word about its machine. */
async function scenarioOf(file: string | undefined, asked: MachineSpecification): Promise<ComposedScenario> {
  if (file === undefined) return { machine: asked, steps: [] };
  const scenario = await loadScenario(file.split(sep).join('/'), readFileText);
  const { hypervisor } = scenario.machine;
  if (hypervisor !== undefined && !isHypervisorName(hypervisor)) {
    throw new ScenarioError(
      `${file} at machine.hypervisor: ${hypervisor}, expected one of ${HYPERVISOR_NAMES.join(', ')}`,
      { file },
    );
  }
  return { ...scenario, machine: joinSpecifications(scenario.machine, asked) };
}
