import { checkSavedAuthority, type SavedAuthority } from '@heki/code-authority';
import { KVM_HEKI_EXIT_REASON_VALID_MASK, KVM_MEMORY_ATTRIBUTE_PRIVATE } from '@heki/hypercall/kvm';
import {
  badState,
  checkStateBits,
  checkStateInteger,
  checkStateList,
  checkStateRanges,
  type ProtectionState,
} from '@heki/hypervisor';
import { addressOf, FRAME_END, hex, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { type PagingLevels, upperHalfStart } from '@heki/x86';
import { setMemoryAttributes } from '../attributes/set-attributes.ts';
import type { ListedPage } from '../hlat/hlat.ts';
import { LEAF_BITS } from '../hlat/hlat-tables.ts';
import { type Memslot, MemslotFlag } from '../memslots/memslot.ts';
import { frameEndOf } from '../memslots/memslots.ts';
import { setRegion } from '../memslots/set-region.ts';
import { createNestedView } from '../nested/create-nested-view.ts';
import { endNested, isHostState, startNested } from '../nested/nested.ts';
import {
  completeControls,
  type HostRegisters,
  NESTED_CONTROLS,
  type NestedControls,
  type NestedGuest,
} from '../nested/nested-guest.ts';
import type { HekiVmState } from '../vm-state.ts';

const PRIVATE = KVM_MEMORY_ATTRIBUTE_PRIVATE;
const LAST_U64 = 0xffff_ffff_ffff_ffffn;

const HOST_REGISTERS = ['cr0', 'cr3', 'cr4', 'efer'] as const satisfies readonly (keyof HostRegisters)[];

/** What KVM has beside rights and pins, as its VMM can read and set it: KVM_GET_DIRTY_LOG, KVM_GET_NESTED_STATE, attributes, capabilities. */
interface KvmOwnState {
  readonly backend: 'kvm';
  /** Frames with KVM_MEMORY_ATTRIBUTE_PRIVATE. */
  readonly privateFrames: readonly { readonly start: number; readonly end: number }[];
  /** The slots that keep a dirty log, and the frames in it, from the start of the slot. */
  readonly dirty: readonly { readonly slot: number; readonly frames: readonly number[] }[];
  /** The L2 of each virtual CPU that runs one. */
  readonly nested: readonly ({ readonly vcpu: number } & Pick<
    NestedGuest,
    'pointer' | 'controls' | 'host'
  >)[];
  /** Linear addresses that HLAT lists; `undefined` without tables for it. */
  readonly hlat: { readonly levels: PagingLevels; readonly pages: readonly ListedPage[] } | undefined;
  /** What the owner of the code keeps; `undefined` without one. */
  readonly code: SavedAuthority | undefined;
  /** What was enabled with KVM_ENABLE_CAP. */
  readonly exitReasons: { readonly configure: number; readonly denial: number };
}

export function saveOwn(vm: HekiVmState): KvmOwnState {
  const privateFrames: { start: number; end: number }[] = [];
  vm.attributes.forEach(0, FRAME_END, (start, end, value) => {
    if ((value & PRIVATE) === 0) return;
    const last = privateFrames.at(-1);
    if (last?.end === start) last.end = end;
    else privateFrames.push({ start, end });
  });
  const dirty = vm.slots.slots.flatMap(({ id, dirty }) =>
    dirty === undefined ? [] : [{ slot: id, frames: [...dirty].sort((a, b) => a - b) }],
  );
  const nested = vm.vcpus.flatMap((vcpu) => {
    const guest = vm.nested.get(vcpu);
    if (guest === undefined) return [];
    const { pointer, controls, host } = guest;
    return [{ vcpu: vcpu.id, pointer, controls, host }];
  });
  const levels = vm.hlat?.levels;
  const pages = [...(vm.hlat?.pages.values() ?? [])].sort((a, b) => a.frame - b.frame);
  const hlat = levels && { levels, pages };
  const code = vm.code?.authority.save();
  return { backend: 'kvm', privateFrames, dirty, nested, hlat, code, exitReasons: { ...vm.exitReasons } };
}

/**
 * Reads what was saved, and gives what puts it into the machine.
 *
 * @throws {HypervisorError} when it is malformed, or names a slot or a virtual CPU that is not there
 */
export function planOwn(vm: HekiVmState, saved: ProtectionState['own']): () => void {
  // A state that `save` did not make has none of this, and leaves it as it is.
  if (saved === undefined) return () => {};
  const own: { readonly [part in keyof KvmOwnState]?: unknown } = saved;
  const { privateFrames = [], dirty = [], nested = [], exitReasons = { configure: 0, denial: 0 } } = own;
  checkStateRanges<KvmOwnState['privateFrames'][0]>('own.privateFrames', privateFrames, (_range, place) => {
    if (!vm.options.privateMemory) throw badState(place, 'PRIVATE', 'no private memory in this VM');
  });
  checkStateList<KvmOwnState['dirty'][0]>('own.dirty', dirty, (log, place) => checkLog(vm, log, place));
  const guests = planNested(vm, nested);
  const reasons = exitReasons as KvmOwnState['exitReasons'] | undefined | null;
  for (const part of ['configure', 'denial'] as const) {
    checkStateInteger(`own.exitReasons.${part}`, reasons?.[part], 0, KVM_HEKI_EXIT_REASON_VALID_MASK);
  }
  const { hlat } = own as Partial<KvmOwnState>;
  checkHlat(vm, hlat);
  const { code } = own;
  checkCode(vm, code);
  return () => {
    vm.hlat?.replace(hlat?.pages ?? [], hlat?.levels);
    vm.code?.reset();
    if (code !== undefined) vm.code?.authority.restore(code);
    vm.locks.with('slots_lock', () =>
      vm.locks.with('slots_arch_lock', () => {
        setMemoryAttributes(vm, 0, FRAME_END, 0, PRIVATE);
        for (const { start, end } of privateFrames) setMemoryAttributes(vm, start, end, PRIVATE, PRIVATE);
      }),
    );
    const logs = new Map(dirty.map(({ slot, frames }) => [slot, frames]));
    for (const { id } of [...vm.slots.slots]) {
      const frames = logs.get(id);
      const log = setLogging(vm, id, frames !== undefined);
      for (const frame of frames ?? []) log?.add(frame);
    }
    for (const vcpu of vm.vcpus) {
      const guest = guests.get(vcpu.id);
      if (guest !== undefined) startNested(vm, vcpu, guest);
    }
    Object.assign(vm.exitReasons, reasons);
  };
}

function checkCode(vm: HekiVmState, code: unknown): void {
  if (code === undefined) return;
  if (vm.code === undefined) throw badState('own.code', 'an owner', "nothing: this VM's code has no owner");
  try {
    checkSavedAuthority(code);
  } catch (error) {
    throw badState('own.code', 'it', error instanceof Error ? error.message : 'what was saved');
  }
}

function checkHlat(vm: HekiVmState, hlat: KvmOwnState['hlat']): void {
  if (hlat === undefined) return;
  if (vm.hlat === undefined) throw badState('own.hlat', 'HLAT', 'nothing: this VM has no HLAT');
  checkStateInteger('own.hlat.levels', hlat?.levels, 4, 5);
  let last = upperHalfStart(hlat.levels);
  checkStateList<ListedPage>('own.hlat.pages', hlat.pages, ({ frame, gfn, low, high, fixed }, place) => {
    checkStateInteger(`${place}.frame`, frame, last, VIRTUAL_FRAME_END - 1);
    last = (frame + 1) as VirtualFrame;
    checkStateInteger(`${place}.gfn`, gfn, 0, frameEndOf(vm.options.processor) - 1);
    for (const [half, bits] of Object.entries({ low, high }))
      checkStateInteger(`${place}.${half}`, bits, 0, 0xffff_ffff);
    if ((low & ~LEAF_BITS.low) !== 0)
      throw badState(`${place}.low`, low, 'P, R/W, U/S, A, D and G of an entry');
    if ((high & ~LEAF_BITS.high) !== 0) throw badState(`${place}.high`, high, 'XD of an entry, or nothing');
    if (typeof fixed !== 'boolean') throw badState(`${place}.fixed`, fixed, 'true or false');
  });
}

function checkLog(vm: HekiVmState, { slot: id, frames }: KvmOwnState['dirty'][0], place: string): void {
  const slot = vm.slots.slots.find((candidate) => candidate.id === id);
  if (slot === undefined) throw badState(`${place}.slot`, id, 'a slot of this VM');
  if (!Array.isArray(frames)) throw badState(`${place}.frames`, frames, 'a list');
  for (const [index, frame] of frames.entries()) {
    checkStateInteger(`${place}.frames[${index}]`, frame, 0, slot.frames - 1);
  }
}

/** Switches the log of a slot, and gives it, empty. */
function setLogging(vm: HekiVmState, id: number, logs: boolean): Set<number> | undefined {
  const find = (): Memslot | undefined => vm.slots.slots.find((slot) => slot.id === id);
  const slot = find();
  if (slot === undefined) return undefined;
  const { LOG_DIRTY_PAGES } = MemslotFlag;
  setRegion(vm, {
    slot: id,
    flags: logs ? slot.flags | LOG_DIRTY_PAGES : slot.flags & ~LOG_DIRTY_PAGES,
    guestPhysicalAddress: BigInt(addressOf(slot.base)),
    memorySize: BigInt(slot.frames) << 12n,
    userspaceAddress: BigInt(addressOf(slot.backing)),
  });
  const log = find()?.dirty;
  log?.clear();
  return log;
}

/** The L2s of a state, by virtual CPU, with views of their own already. */
function planNested(vm: HekiVmState, nested: unknown): ReadonlyMap<number, NestedGuest> {
  const guests = new Map<number, NestedGuest>();
  checkStateList<KvmOwnState['nested'][0]>(
    'own.nested',
    nested,
    ({ vcpu, pointer, controls, host }, place) => {
      checkStateInteger(`${place}.vcpu`, vcpu, 0, vm.vcpus.length - 1);
      if (guests.has(vcpu)) throw badState(`${place}.vcpu`, vcpu, 'each virtual CPU once');
      if (typeof pointer !== 'bigint')
        throw badState(`${place}.pointer`, pointer, 'an EPTP or nCR3, as a bigint');
      checkControls(controls, `${place}.controls`);
      for (const name of HOST_REGISTERS) checkStateBits(`${place}.host.${name}`, host?.[name], LAST_U64);
      if (!isHostState(host, vm.options.processor)) {
        const text = HOST_REGISTERS.map((name) => `${name.toUpperCase()} ${hex(host[name])}`).join(', ');
        throw badState(`${place}.host`, text, 'registers of 64-bit mode on this processor');
      }
      try {
        guests.set(vcpu, { pointer, controls, host, view: createNestedView(vm, pointer) });
      } catch (error) {
        throw badState(
          `${place}.pointer`,
          pointer,
          error instanceof Error ? error.message : 'a pointer to tables',
        );
      }
    },
  );
  return guests;
}

/** What `svm` of controls may be. */
function isIntercepts(value: unknown): boolean {
  if (value === undefined) return true;
  const {
    cr0Write,
    cr0Selective,
    cr4Write,
    init = false,
  } = (value ?? {}) as { readonly [name: string]: unknown };
  return [cr0Write, cr0Selective, cr4Write, init].every((intercept) => typeof intercept === 'boolean');
}

function isMsr(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

function checkControls(controls: NestedControls | undefined, place: string): void {
  const defaults = completeControls({});
  for (const name of NESTED_CONTROLS) {
    const value = controls?.[name];
    if (typeof defaults[name] === 'bigint') {
      checkStateBits(`${place}.${name}`, value, LAST_U64);
      continue;
    }
    const isGood =
      name === 'svm'
        ? isIntercepts(value)
        : name === 'readExitingMsrs' || name === 'writeExitingMsrs'
          ? value === 'all' || (value instanceof Set && [...value].every(isMsr))
          : typeof value === 'boolean';
    if (!isGood) throw badState(`${place}.${name}`, value, `as in ${String(defaults[name])}`);
  }
}

/** The L2s that run before a state is restored are left, by a VM exit where it has none for their virtual CPU. */
export function leaveAllNested(vm: HekiVmState, own: ProtectionState['own']): void {
  const goOn = new Set((own as Partial<KvmOwnState> | undefined)?.nested?.map(({ vcpu }) => vcpu));
  for (const [vcpu, { host }] of [...vm.nested]) endNested(vm, vcpu, goOn.has(vcpu.id) ? {} : host);
}
