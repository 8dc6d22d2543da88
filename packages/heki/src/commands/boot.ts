import { sep } from 'node:path';
import { BOOT_STEPS } from '@heki/linux';
import {
  type Attack,
  joinSpecifications,
  MachineError,
  type MachineSpecification,
  machineSettings,
} from '@heki/machine';
import { type ComposedScenario, runScenario, type Step } from '@heki/scenario';
import { loadScenario } from '@heki/scenario/schema';
import { bootJson } from '../boot/boot-json.ts';
import { createBootMachine, withholdsExecution } from '../boot/boot-machine.ts';
import { type BootReport, bootText } from '../boot/boot-text.ts';
import { bootVerdict, bootWarnings } from '../boot/boot-verdict.ts';
import { loadCodeSigner } from '../boot/code-signer.ts';
import { readKernelBuild } from '../boot/kernel-file.ts';
import { runWorkloads } from '../boot/run-workloads.ts';
import { InputError, SpecificationError, UsageError } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';
import { findBackend } from '../find-backend.ts';
import { checkHypervisor } from '../hypervisors.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readText } from '../input/read-text.ts';
import type { CommandIo } from '../io.ts';
import type { MachineFlags } from '../machine-flags.ts';
import { type AttackLoader, createAttackLoader, loadAttacks } from '../modules/attack-module.ts';
import { createProgress } from '../progress.ts';
import { writeReport } from '../report/write-report.ts';
import { specificationOf } from '../specification-of-flags.ts';
import { exitCodeOf } from '../verdict/finding.ts';

/** Options of `heki boot`. */
export interface BootOptions extends MachineFlags {
  readonly attack?: readonly string[];
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
    for (const other of ['scenario', 'trace', 'attack'] as const) {
      if (options[other] !== undefined)
        throw new UsageError(`--workload and --${other}: expected one of them`);
    }
    const { json = false, strict = false } = options;
    return runWorkloads({ name: options.workload, asked, json, strict }, io);
  }
  const load = createAttackLoader();
  const attacks = await loadAttacks(options.attack, load);
  const scenario = await scenarioOf(options.scenario, asked, attacks, load);
  const backend = await findBackend(scenario.machine.hypervisor);
  const settings = machineSettings(scenario.machine);
  const kernel = settings.kernel === undefined ? undefined : await readKernelBuild(settings.kernel);
  const codeSigner = await loadCodeSigner(scenario.machine);
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
  const machine = atItsPlace(scenario, asked, () =>
    createBootMachine(scenario, backend, {
      kernel,
      codeSigner,
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
    }),
  );
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
    backend,
    attacks: scenario.attacks ?? [],
    settings: { ...settings, mbec: withholdsExecution(backend, scenario.machine) },
    kernel: machine.kernel.build.name,
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
async function scenarioOf(
  file: string | undefined,
  asked: MachineSpecification,
  attacks: readonly Attack[],
  load: AttackLoader,
): Promise<ComposedScenario> {
  const scenario: ComposedScenario =
    file === undefined
      ? { machine: {}, steps: [] }
      : await loadScenario(file.split(sep).join('/'), readFileText, { attacks, loadAttacks: load });
  const named = new Set(
    [...(scenario.initcalls ?? []), ...scenario.steps].map((step) => ('how' in step ? step.how : '')),
  );
  const { hypervisor } = scenario.machine;
  if (hypervisor !== undefined) atItsPlace(scenario, asked, () => checkHypervisor(hypervisor));
  return {
    ...scenario,
    attacks: scenario.attacks ?? attacks,
    machine: joinSpecifications(scenario.machine, asked),
    steps: [
      ...scenario.steps,
      // What the user brings and no step names is tried in the end.
      ...attacks
        .filter(({ name, legitimate }) => legitimate !== true && !named.has(name))
        .map(({ name }): Step => ({ do: 'attack', how: name })),
    ],
  };
}

/** What `make` gives; what it finds wrong with what a scenario's files say of the machine is said of the place in them. */
function atItsPlace<Result>(
  { wrongAt }: ComposedScenario,
  asked: MachineSpecification,
  make: () => Result,
): Result {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof SpecificationError || error instanceof MachineError)) throw error;
    const { at } = error;
    throw (at !== undefined && !isAsked(asked, at) && wrongAt?.(['machine', ...at], error.message)) || error;
  }
}

/** Whether the command's own options say it, and not the scenario. */
function isAsked(asked: MachineSpecification, [property = '', id]: readonly string[]): boolean {
  const said: unknown = Reflect.get(asked, property);
  if (property !== 'defects' || id === undefined) return said !== undefined;
  return asked.defects !== undefined && Object.hasOwn(asked.defects, id);
}
