import { FRAME_END, hex } from '@heki/physical-memory';
import { type Capabilities, grantableRights, registerName } from './capabilities.ts';
import { HypervisorError } from './error.ts';
import { formatRights, type Rights, sameRights } from './rights.ts';
import type { DepartedFrames, ProtectionState, VcpuPins } from './state.ts';

/** What a backend can take of a saved state. */
export interface StateLimits {
  /** The name of the backend, which {@link ProtectionState.own} must have. */
  readonly backend: string;
  readonly capabilities: Capabilities;
  /** Bits of CR0 and CR4 that can be pinned in it. Default all. */
  readonly cr0?: bigint;
  readonly cr4?: bigint;
  /** A guest can say that its boot has ended. */
  readonly endsBoot: boolean;
}

const ALL_BITS = 0xffff_ffff_ffff_ffffn;
/** Table registers have 16 bits of limit above 64 of base. */
const TABLES: readonly string[] = ['gdtr', 'idtr', 'ldtr', 'tr'];
const TABLE_END = 1n << 80n;

/** The error for a part of a saved state. */
export function badState(place: string, value: unknown, expected: string): HypervisorError {
  const text =
    typeof value === 'bigint' ? hex(value) : typeof value === 'string' ? `'${value}'` : String(value);
  return new HypervisorError(`saved state, ${place}: ${text}: expected ${expected}`);
}

/** @throws {HypervisorError} unless `value` is an integer from `first` to `last` */
export function checkStateInteger(
  place: string,
  value: unknown,
  first: number,
  last: number,
): asserts value is number {
  if (!Number.isInteger(value) || (value as number) < first || (value as number) > last) {
    throw badState(place, value, `an integer from ${first} to ${last}`);
  }
}

/** @throws {HypervisorError} unless `value` has no bit but those of `bits` */
export function checkStateBits(place: string, value: unknown, bits: bigint): asserts value is bigint {
  if (typeof value !== 'bigint' || value < 0n || (value & ~bits) !== 0n) {
    throw badState(place, value, `bits of ${hex(bits)}, as a bigint`);
  }
}

/** @throws {HypervisorError} unless `value` is a list, which `check` then sees item by item */
export function checkStateList<Item>(
  place: string,
  value: unknown,
  check: (item: Item, place: string) => void,
): asserts value is readonly Item[] {
  if (!Array.isArray(value)) throw badState(place, value, 'a list');
  for (const [index, item] of (value as Item[]).entries()) {
    if (typeof item !== 'object' || item === null) throw badState(`${place}[${index}]`, item, 'an object');
    check(item, `${place}[${index}]`);
  }
}

/**
 * Ranges of frames that are in order and do not overlap; `check` sees each.
 *
 * @throws {HypervisorError} when they are not
 */
export function checkStateRanges<Range extends { readonly start: number; readonly end: number }>(
  place: string,
  value: unknown,
  check: (range: Range, place: string) => void,
): asserts value is readonly Range[] {
  let last = 0;
  checkStateList<Range>(place, value, (range, at) => {
    checkStateInteger(`${at}.start`, range.start, last, FRAME_END - 1);
    checkStateInteger(`${at}.end`, range.end, range.start + 1, FRAME_END);
    last = range.end;
    check(range, at);
  });
}

/**
 * Holds a state that is to be restored against what a backend can enforce. It says nothing of {@link ProtectionState.own} but whose it is.
 *
 * @throws {HypervisorError} when something of it is malformed, or would not be enforced: it names the value, its place and what was expected
 */
export function checkProtectionState(state: ProtectionState, limits: StateLimits): void {
  const { capabilities, backend } = limits;
  checkStateRanges<ProtectionState['ranges'][0]>('ranges', state.ranges, ({ rights, immutable }, place) => {
    checkRights(`${place}.rights`, rights, capabilities);
    if (immutable !== undefined && typeof immutable !== 'boolean') {
      throw badState(`${place}.immutable`, immutable, 'true, false or nothing');
    }
    if (immutable === true && capabilities.immutability.kind !== 'per-page') {
      throw badState(`${place}.immutable`, immutable, 'false: this backend makes no page immutable');
    }
  });
  if (state.departed !== undefined) checkDeparted(state.departed, capabilities);
  checkRights('otherwise', state.otherwise, capabilities);
  checkStateBits('cr0', state.cr0, limits.cr0 ?? ALL_BITS);
  checkStateBits('cr4', state.cr4, limits.cr4 ?? ALL_BITS);
  checkRegisters(state.registers === undefined ? [] : state.registers, capabilities);
  if (state.bootEnded !== undefined && (state.bootEnded !== true || !limits.endsBoot)) {
    throw badState(
      'bootEnded',
      state.bootEnded,
      limits.endsBoot ? 'true or nothing' : 'nothing: a boot has no end here',
    );
  }
  checkVcpus(state);
  if (state.own !== undefined && state.own?.backend !== backend) {
    throw badState('own.backend', state.own?.backend, `'${backend}'`);
  }
}

function checkDeparted(departed: unknown, capabilities: Capabilities): void {
  checkStateList<DepartedFrames>('departed', departed, ({ start, end, gfn, rights, immutable }, place) => {
    checkStateInteger(`${place}.start`, start, 0, FRAME_END - 1);
    checkStateInteger(`${place}.end`, end, start + 1, FRAME_END);
    checkStateInteger(`${place}.gfn`, gfn, 0, FRAME_END - (end - start));
    checkRights(`${place}.rights`, rights, capabilities);
    if (typeof immutable !== 'boolean') throw badState(`${place}.immutable`, immutable, 'true or false');
  });
}

function checkRights(place: string, rights: Rights, capabilities: Capabilities): void {
  for (const right of ['read', 'write', 'supervisorExecute', 'userExecute'] as const) {
    if (typeof rights?.[right] !== 'boolean')
      throw badState(`${place}.${right}`, rights?.[right], 'true or false');
  }
  const granted = grantableRights(capabilities, rights);
  if (!sameRights(granted, rights)) {
    throw badState(
      place,
      formatRights(rights),
      `what can be enforced here, ${formatRights(granted)} at least`,
    );
  }
}

function checkRegisters(registers: unknown, { pins }: Capabilities): void {
  if (!Array.isArray(registers)) throw badState('registers', registers, 'a list');
  const names = pins.registers.map(registerName);
  for (const [index, register] of registers.entries()) {
    const name =
      typeof register === 'string' || typeof register?.msr === 'number' ? registerName(register) : register;
    if (!names.includes(name)) {
      throw badState(`registers[${index}]`, name, names.length === 0 ? 'none' : `one of ${names.join(', ')}`);
    }
  }
}

function checkVcpus({ vcpus = [], registers = [] }: ProtectionState): void {
  const names = ['cr0', 'cr4', ...registers.map(registerName)];
  const checkName = (place: string, name: string): void => {
    if (!names.includes(name)) throw badState(place, name, `a register that is pinned: ${names.join(', ')}`);
  };
  const seen = new Set<number>();
  checkStateList<VcpuPins>('vcpus', vcpus, ({ vcpu, starting = [], values = {} }, place) => {
    checkStateInteger(`${place}.vcpu`, vcpu, 0, Number.MAX_SAFE_INTEGER);
    if (seen.has(vcpu)) throw badState(`${place}.vcpu`, vcpu, 'each virtual CPU once');
    seen.add(vcpu);
    if (!Array.isArray(starting)) throw badState(`${place}.starting`, starting, 'a list');
    for (const [index, name] of starting.entries()) checkName(`${place}.starting[${index}]`, name);
    if (values === null || Object.getPrototypeOf(values) !== Object.prototype) {
      throw badState(`${place}.values`, values, 'an object with a value for each register');
    }
    for (const [name, value] of Object.entries(values)) {
      checkName(`${place}.values`, name);
      const limit = TABLES.includes(name) ? TABLE_END : ALL_BITS + 1n;
      if (typeof value !== 'bigint' || value < 0n || value >= limit) {
        throw badState(`${place}.values.${name}`, value, `a bigint below ${hex(limit)}`);
      }
    }
  });
}
