import { type Gpa, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { GuestError } from '../error.ts';
import type { HekiOperation, HekiVariables } from '../kernel/kernel.ts';
import type { HekiHypervisor } from './heki-hypervisor.ts';

/** Members of `struct heki` (Heki v2 4/19, 18/19). Between them lies the pointer to the counters, which are not in the kernel's memory here. */
const HYPERVISOR = 0;
const PROTECT_MEMORY = 16;
/** Members of `struct heki_hypervisor`: pointers to functions. */
const OPERATIONS: { readonly [operation in HekiOperation]: number } = { lockCrs: 0, protectMemory: 8 };

/**
 * `struct heki` and the operations of the driver that it points to, as bytes of the kernel's memory: whoever writes them decides what the
 * core does (B-G17). What the operations do, their code, is the driver's.
 */
export class HekiStruct {
  readonly #variables: HekiVariables;
  #driver: HekiHypervisor | undefined;
  /** The bytes say so already. */
  #driverIsStored = false;

  /** @param driver one that is there from the start: {@link storeDriver} stores it when the kernel's memory can be reached */
  constructor(variables: HekiVariables, driver: HekiHypervisor | undefined) {
    this.#variables = variables;
    this.#driver = driver;
  }

  get driver(): HekiHypervisor | undefined {
    return this.#driver;
  }

  /** `init_heki`: the driver's table, and the pointer to it. What is there already is not stored again. */
  set driver(driver: HekiHypervisor | undefined) {
    const { heki, operations, code } = this.#variables;
    this.#driver = driver;
    this.#driverIsStored = true;
    if (driver !== undefined) {
      this.#become(at(operations, OPERATIONS.lockCrs), 8, code.lockCrs);
      this.#become(at(operations, OPERATIONS.protectMemory), 8, code.protectMemory);
    }
    this.#become(at(heki, HYPERVISOR), 8, driver === undefined ? 0n : operations);
  }

  /** For a driver that the core was made with. */
  storeDriver(): void {
    if (!this.#driverIsStored && this.#driver !== undefined) this.driver = this.#driver;
  }

  /** `heki.hypervisor` is not a null pointer. */
  get hasHypervisor(): boolean {
    const { heki } = this.#variables;
    return this.#variables.load(at(heki, HYPERVISOR), 8) !== 0n;
  }

  get protectsMemory(): boolean {
    const { heki } = this.#variables;
    return this.#variables.load(at(heki, PROTECT_MEMORY), 1) !== 0n;
  }

  set protectsMemory(value: boolean) {
    this.#become(at(this.#variables.heki, PROTECT_MEMORY), 1, value ? 1n : 0n);
  }

  /** {@link protectsMemory} for who only looks on. */
  get protectsMemoryNow(): boolean {
    return this.#variables.peek(at(this.#variables.heki, PROTECT_MEMORY)) !== 0;
  }

  lockCrs(): number {
    return this.#call('lockCrs', 0 as Gpa);
  }

  protectMemory(list: Gpa): number {
    return this.#call('protectMemory', list);
  }

  /** `heki.hypervisor->operation(list)`: two loads, and a call of whatever they give. */
  #call(operation: HekiOperation, list: Gpa): number {
    const { heki } = this.#variables;
    const table = this.#variables.load(at(heki, HYPERVISOR), 8);
    const target = this.#variables.load(at(table, OPERATIONS[operation]), 8) as VirtualAddress;
    return this.#variables.call(target, this.#codeAt(target, list));
  }

  #codeAt(target: VirtualAddress, list: Gpa): (() => number) | undefined {
    const driver = this.#driver;
    const { code } = this.#variables;
    if (driver === undefined) return undefined;
    if (target === code.lockCrs) return () => driver.lockCrs();
    return target === code.protectMemory ? () => driver.protectMemory(list) : undefined;
  }

  #become(address: VirtualAddress, bytes: 1 | 8, value: bigint): void {
    if (this.#variables.load(address, bytes) !== value) this.#variables.store(address, bytes, value);
  }
}

/** Wraps, as in the processor's registers: a pointer can hold anything. */
function at(base: bigint, offset: number): VirtualAddress {
  return BigInt.asUintN(64, base + BigInt(offset)) as VirtualAddress;
}

/** Bytes outside any memory, for a kernel that was not built with the core. */
export function createPrivateVariables(): HekiVariables {
  const BASE = 0x1000n;
  const bytes = new DataView(new ArrayBuffer(64));
  const offset = (address: VirtualAddress): number => {
    if (address < BASE) throw new GuestError('the hypervisor was taken away while memory is protected');
    return Number(address - BASE);
  };
  return {
    heki: virtualAddress(BASE),
    operations: virtualAddress(BASE + 32n),
    code: { lockCrs: virtualAddress(BASE + 48n), protectMemory: virtualAddress(BASE + 56n) },
    load: (address, size) =>
      size === 1 ? BigInt(bytes.getUint8(offset(address))) : bytes.getBigUint64(offset(address), true),
    store(address, size, value) {
      if (size === 1) bytes.setUint8(offset(address), Number(value));
      else bytes.setBigUint64(offset(address), value, true);
    },
    call(address, run) {
      if (run === undefined) throw new GuestError(`no function is at 0x${address.toString(16)}`);
      return run();
    },
    peek: (address) => bytes.getUint8(offset(address)),
  };
}
