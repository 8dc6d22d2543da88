import type { EffectiveRights } from '@heki/hypervisor';
import { frameOf, type Gfn, type VirtualAddress } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';
import { type Access, type Translation, translate } from '@heki/x86';
import { type AskedTranslation, recordingSecondLevel } from './recording-second-level.ts';
import type { WatchedMachine } from './watched-machine.ts';

/** What an access meets, with all that the second level was asked on the way. */
export interface BothStages {
  readonly translation: Translation;
  readonly asked: readonly AskedTranslation[];
  /** Frames that the second level did not map before the access, and does now, or would. */
  readonly installed: ReadonlySet<Gfn>;
  /** The hypervisor carries the access out: the second level refuses it, and it completes. */
  readonly isCarriedOut: boolean;
  /** What the hypervisor would do is not known, and why. */
  readonly unknown: string | undefined;
}

type WalkedRegisters = Parameters<typeof translate>[0];

/**
 * Walks to `va` through both stages. Hypervisors map pages at the first access: what the second level refuses at first, the processor tries in
 * earnest, and its hypervisor answers as it does; then it is walked once more. The machine must not be used any more.
 *
 * @param asItStands entries of the second level were edited: nothing is asked of a hypervisor that would mend them
 */
export function throughBothStages(
  machine: WatchedMachine,
  registers: WalkedRegisters,
  va: VirtualAddress,
  access: Access,
  asItStands: boolean,
): BothStages {
  const { vcpu, memory, virtualMachine } = machine;
  const actual = vcpu.secondLevel;
  if (actual === undefined) throw new TypeError('the virtual CPU has no second level');
  const walk = (...how: Parameters<typeof recordingSecondLevel>) => {
    const { secondLevel, asked } = recordingSecondLevel(...how);
    const translation = translate(registers, vcpu.memory, va, access, vcpu.processor, secondLevel);
    return { translation, asked, installed: new Set<Gfn>(), isCarriedOut: false, unknown: undefined };
  };
  const first = walk(actual);
  if (asItStands || first.translation.outcome.kind !== 'second-level') return first;
  if (vcpu.left || vcpu.halted !== undefined) return guess(machine, walk);

  const byGuest = translate(registers, memory, va, access, vcpu.processor);
  const frames = byGuest.steps.map(({ address }) => frameOf(address));
  if (byGuest.outcome.kind === 'mapped') frames.push(frameOf(byGuest.outcome.gpa));
  const installed = new Set(frames.filter((gfn) => virtualMachine.effectiveRights(gfn)?.present === false));
  const completes = tryAccess(machine, va, access);
  const second = walk(actual);
  const isRefused = second.translation.outcome.kind === 'second-level';
  return {
    ...second,
    installed,
    isCarriedOut: completes && isRefused,
    unknown:
      !completes && second.translation.outcome.kind === 'mapped'
        ? 'the tables allow it, and the processor did not complete it when it was tried'
        : undefined,
  };
}

/** Makes the access on the virtual CPU, with nothing cached; whether it completed. */
function tryAccess({ vcpu }: WatchedMachine, va: VirtualAddress, { kind, mode }: Access): boolean {
  vcpu.invept();
  vcpu.registers.cpl = mode === 'user' ? 3 : 0;
  if (kind === 'fetch') return vcpu.fetch(va).kind === 'done';
  return (kind === 'read' ? vcpu.load(va, 1) : vcpu.store(va, 1, 0n)).kind === 'done';
}

/**
 * The walk where the processor can execute nothing: its hypervisor is about to answer. Where no leaf is, and the rights that it would get allow the
 * access, the walk goes on.
 */
function guess(
  { vcpu, virtualMachine, hostFrame }: WatchedMachine,
  walk: (...how: Parameters<typeof recordingSecondLevel>) => BothStages,
): BothStages {
  const { processor, controls, secondLevel } = vcpu;
  if (secondLevel === undefined) throw new TypeError('the virtual CPU has no second level');
  // With EPT's own accessed and dirty flags every use of a guest entry counts as a write (SDM 3C 29.3.3.2); nested paging knows no other way.
  const structuresAreWritten = processor.ept?.accessedDirty ?? true;
  const installed = new Set<Gfn>();
  let unknown: string | undefined;
  const found = walk(secondLevel, (gfn, access) => {
    const rights = virtualMachine.effectiveRights(gfn);
    if (rights === undefined || rights.present) return REFUSED;
    // Paging-write access and guest-paging verification are not among the rights that can be read back.
    if (controls.hlat !== undefined) {
      unknown = 'no page is mapped there yet, and the hypervisor has not answered the exit before';
      return REFUSED;
    }
    if (!allows(rights, access, structuresAreWritten)) return REFUSED;
    installed.add(gfn);
    return hostFrame(gfn);
  });
  return { ...found, installed, unknown };
}

/** Whether a page with these rights may be used so. */
function allows(
  { read, write, supervisorExecute, userExecute }: EffectiveRights,
  access: number,
  structuresAreWritten: boolean,
): boolean {
  const asked = (bits: number): boolean => (access & bits) !== 0;
  if (asked(SecondLevelAccess.FETCH))
    return asked(SecondLevelAccess.USER_PAGE) ? userExecute : supervisorExecute;
  if (asked(SecondLevelAccess.WRITE)) return write;
  if (asked(SecondLevelAccess.PAGING_STRUCTURE) && structuresAreWritten) return write;
  return read;
}
