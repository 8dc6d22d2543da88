import { RETURN_THUNKS } from '../branches.ts';
import { type ImageAddress, type ImageRange, type ImageView, imageVirtualAddress } from '../image-view.ts';
import { readSites } from '../read-sites.ts';
import type { BootVector } from './boot-vector.ts';
import { FEATURES, HARDWARE_WORDS, has } from './features.ts';

/** What the owner of a machine knows, or wants, of a boot. */
export interface BootPolicy {
  /** `boot_cpu_data.x86_capability` as this package leaves it on this processor with all mitigations that are wanted. */
  readonly capabilities: readonly number[];
  /** The words of those that are CPUID's, as the VMM gives it to the guest, by their index. A word that is not there has no bits. */
  readonly cpuid: ReadonlyMap<number, number>;
  /** Symbols that returns may jump to. */
  readonly returnThunks: ReadonlySet<string>;
  /** Virtual CPUs of the machine. */
  readonly processors: number;
  /** Functions that pv_ops and its like may have: native ones, or those of the hypervisor that the guest runs on. */
  readonly paravirt: (name: string) => boolean;
  /** Whether an address is the kernel's data, which is never executed. */
  readonly isData: (address: bigint) => boolean;
  /** Whether a function of a module begins there that is loaded and whose file was signed. Default none. */
  readonly isModuleFunction?: (at: ImageAddress) => boolean;
}

/** A wish of a boot vector that is not granted. */
export interface BootObjection {
  readonly element: 'features' | 'return thunk' | 'processors' | 'pointers' | 'constants' | 'calls' | 'sites';
  /** What was named, and what was expected. */
  readonly text: string;
}

const TRACERS: ReadonlySet<string> = new Set(['ftrace_caller', 'ftrace_regs_caller']);
/** What ftrace's callers may call while no function is traced, or through ftrace_ops, which are data. */
const CALLBACKS: ReadonlySet<string> = new Set([
  'ftrace_stub',
  'ftrace_stub_graph',
  'ftrace_graph_caller',
  'arch_ftrace_ops_list_func',
]);
/** The last page of the user's half, with 4 levels and with 5. */
const USER_POINTER_MAX: readonly bigint[] = [0x7fff_ffff_f000n, 0xff_ffff_ffff_f000n];
const MOST_OBJECTIONS = 100;

/**
 * What of a boot vector may not be: a feature that the processor does not have, a mitigation less than there has to be, code where no function begins,
 * a pointer to what is not data. Every bit that no site of the image asks for decides no byte, and is not looked at.
 *
 * @param text the image's code
 */
export function checkBootVector(
  image: ImageView,
  text: ImageRange,
  vector: BootVector,
  policy: BootPolicy,
): BootObjection[] {
  const found: BootObjection[] = [];
  const object = (element: BootObjection['element'], what: string): void => {
    if (found.length < MOST_OBJECTIONS) found.push({ element, text: what });
  };
  const isFunction = (at: ImageAddress): boolean =>
    (at >= text.start && at < text.end && image.symbols.at(at).length > 0) ||
    policy.isModuleFunction?.(at) === true;
  for (const bit of usedFeatures(image)) {
    const name = `${Math.floor(bit / 32)}*32+${bit % 32}`;
    const isSet = has(vector.capabilities, bit);
    const word = Math.floor(bit / 32);
    if (isSet && HARDWARE_WORDS.has(word) && !has([policy.cpuid.get(word) ?? 0], bit % 32))
      object('features', `${name} is set: the processor does not have it`);
    else if (isSet !== has(policy.capabilities, bit))
      object('features', `${name} is ${isSet ? 'set' : 'clear'}: expected the other`);
  }
  if (has(vector.capabilities, FEATURES.RETHUNK) && !policy.returnThunks.has(vector.returnThunk))
    object(
      'return thunk',
      `${vector.returnThunk || 'nothing'}: expected ${[...policy.returnThunks].join(' or ')}`,
    );
  if (!RETURN_THUNKS.test(vector.returnThunk)) object('return thunk', 'no return thunk of the image');
  if (vector.oneProcessor && policy.processors !== 1)
    object('processors', `LOCK is DS, and the machine has ${policy.processors} processors`);
  for (const [slot, target] of vector.pointers) {
    const names = image.symbols.at(target);
    if (target !== 0 && !names.some(policy.paravirt))
      object('pointers', `the pointer at ${hex(slot)} leads to ${names[0] ?? hex(target)}`);
  }
  for (const [name, value] of vector.constants) {
    const why = constantFault(name, value, policy);
    if (why !== undefined) object('constants', `${name} is 0x${value.toString(16)}: expected ${why}`);
  }
  for (const [key, target] of vector.calls)
    if (target !== 0 && !isFunction(target))
      object('calls', `the key at ${hex(key)} leads to ${hex(target)}, where no function begins`);
  for (const [at, state] of vector.sites) {
    if (typeof state !== 'object') continue;
    const allowed = image.symbols.at(at).some((name) => name.startsWith('ftrace_')) ? CALLBACKS : TRACERS;
    const names = image.symbols.at(state.calls);
    if (!names.some((name) => allowed.has(name)))
      object('sites', `${hex(at)} calls ${names[0] ?? hex(state.calls)}: expected a tracer of the image`);
  }
  return found;
}

/** Every feature that a byte of the image depends on. */
function usedFeatures(image: ImageView): Set<number> {
  const bits = new Set<number>(Object.values(FEATURES));
  for (const { feature } of readSites(image, { start: -(2 ** 31), end: 0 }))
    if (feature !== undefined) bits.add(feature);
  return bits;
}

function constantFault(name: string, value: bigint, { isData }: BootPolicy): string | undefined {
  if (name === 'USER_PTR_MAX')
    return USER_POINTER_MAX.includes(value) ? undefined : 'the end of the user’s half';
  if (name.endsWith('_shift')) return value < 32n ? undefined : 'less than 32';
  return isData(value) ? undefined : 'an address of data';
}

function hex(at: ImageAddress): string {
  return `0x${imageVirtualAddress(at).toString(16)}`;
}
