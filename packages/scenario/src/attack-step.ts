import { IMAGE_SYMBOLS, type LinuxKernel } from '@heki/linux';
import {
  type Attack,
  type AttackResult,
  claims,
  coversPage,
  type KernelTargets,
  rightsOfFrame,
} from '@heki/machine';
import { type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { attackNamed } from './attack-names.ts';
import { FailedDependencyError, ScenarioError } from './error.ts';
import { isInForce } from './in-force.ts';
import { framesBehind, type Life } from './life.ts';
import type { Step } from './schema/step-schema.ts';

/**
 * Attacks the kernel, with its own instructions alone.
 *
 * @param vcpu the processor that executes them. Default: the one that the kernel runs on
 * @throws {ScenarioError} when the step names what is not there, or what is not made of what the attack is about
 */
export function attackStep(
  life: Life,
  step: Pick<Step & { do: 'attack' }, 'how' | 'on'>,
  vcpu?: Vcpu,
): AttackResult & { /** The machine claims to stop it. */ readonly claimed: boolean } {
  const on = step.on ?? 'kernel';
  const attack = attackNamed(step.how, life.attacks);
  const targets = targetsOf(life, on);
  const { part } = attack;
  if (part !== undefined && targets[part] === undefined) {
    const kind = part === 'text' ? 'executable' : 'writable';
    throw new ScenarioError(`${step.how} on ${on}: no ${kind} page of ${on} is known`);
  }
  const result = life.machine.attack(attack, targets, vcpu);
  return { ...result, claimed: isClaimed(life, attack, result.target) };
}

/** Whether the machine claims to stop the attack: Heki must be in force, and nothing but the attacker may have opened the target. */
function isClaimed({ machine }: Life, { claim }: Attack, target: VirtualAddress | undefined): boolean {
  const { kernel, memory } = machine;
  if (claim === undefined || !isInForce(machine) || !claims(claim, machine)) return false;
  if (target === undefined) return true;
  const [frame] = framesBehind(machine, target, 1);
  if (frame === undefined) return false;
  const tables = { memory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
  return coversPage(claim, rightsOfFrame(tables, frame));
}

function targetsOf(life: Life, on: string): KernelTargets {
  const { kernel } = life.machine;
  const directMap = virtualAddressOf(kernel.layout.directMap);
  const { text, data } = placesOf(life, on);
  const [frame] = text === undefined ? [] : framesBehind(life.machine, text, 1);
  const textAlias =
    text === undefined || frame === undefined
      ? undefined
      : ((directMap + BigInt(frame) * 4096n + (text % 4096n)) as VirtualAddress);
  return { directMap, text, textAlias, data, symbols: symbolsOf(kernel) };
}

function symbolsOf(kernel: LinuxKernel): KernelTargets['symbols'] {
  const known = [...IMAGE_SYMBOLS, 'heki', 'heki_hypervisor'] as const;
  return new Map(known.map((name) => [name, kernel.address(name)]));
}

/** Where the text and the data of something are. */
function placesOf(
  { machine: { kernel }, failed, modules, programs, areas }: Life,
  on: string,
): Pick<KernelTargets, 'text' | 'data'> {
  if (on === 'kernel') return { text: kernel.address('_text'), data: kernel.address('_sdata') };
  const module = modules.get(on);
  const at = (part: 'text' | 'data'): VirtualAddress | undefined => module?.memory.get(part)?.address;
  if (module !== undefined) return { text: at('text'), data: at('data') };
  const program = programs.get(on);
  const area = areas.get(on)?.address;
  if (program === undefined && area === undefined) {
    if (failed.has(on)) throw new FailedDependencyError(`there is no ${on} to attack: it could not be made`);
    throw new ScenarioError(`there is no ${on} to attack: an earlier step must make it`);
  }
  return { text: program, data: area };
}
