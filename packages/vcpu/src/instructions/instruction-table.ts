import type { Instructions } from '../vcpu.ts';
import {
  checkedFrame,
  checkInstructionLength,
  checkInteger,
  checkOperandSize,
  checkU64,
} from './arguments.ts';
import { clts, lmsw, movFromCr, movToCr, smsw, wrpkru } from './control-operations.ts';
import { loadSelector, loadTable, storeSelector, storeTable } from './descriptor-operations.ts';
import { Fetch, Load, ReadModifyWrite, Store } from './memory-operations.ts';
import type { Operation } from './operation.ts';
import { LoadBytes, StoreBytes } from './string-operations.ts';
import { invlpg, invpcid, rdmsr, vmcall, vmfunc, vmx, writeAc, writeIf, wrmsr } from './system-operations.ts';

/** What an instruction gives when it is done. */
type ValueOf<Name extends keyof Instructions> = Extract<
  ReturnType<Instructions[Name]>,
  { kind: 'done' }
>['value'];

/** For every instruction, how its arguments become an operation. They are checked here: wrong ones throw. */
export type InstructionTable = {
  readonly [Name in keyof Instructions]: (
    ...args: Parameters<Instructions[Name]>
  ) => Operation<ValueOf<Name>>;
};

const LAST_U32 = 0xffff_ffff;
const LAST_U16 = 0xffff;

/** The table; `carryOut` is what a VMFUNC does. */
export function instructionTable(carryOut: (leaf: number, index: number) => boolean): InstructionTable {
  return {
    load: (va, bytes) => {
      checkedFrame(va);
      checkOperandSize(bytes);
      return new Load(va, bytes);
    },
    store: (va, bytes, value) => {
      checkedFrame(va);
      checkOperandSize(bytes);
      return new Store(va, bytes, value);
    },
    readModifyWrite: (va, bytes, update) => {
      checkedFrame(va);
      checkOperandSize(bytes);
      return new ReadModifyWrite(va, bytes, update);
    },
    loadBytes: (va, length) => {
      checkedFrame(va);
      checkInteger(length, 0, LAST_U32, 'a number of bytes');
      return new LoadBytes(va, length);
    },
    storeBytes: (va, source) => {
      checkedFrame(va);
      return new StoreBytes(va, source);
    },
    fetch: (va, bytes = 1) => {
      checkedFrame(va);
      checkInstructionLength(bytes);
      return new Fetch(va, bytes);
    },
    movToCr: (cr, value) => {
      checkU64(value, `a value for CR${cr}`);
      return movToCr(cr, value);
    },
    movFromCr,
    clts,
    lmsw: (value) => {
      checkInteger(value, 0, LAST_U16, 'a machine status word');
      return lmsw(value);
    },
    smsw,
    rdmsr: (msr) => {
      checkInteger(msr, 0, LAST_U32, 'an MSR number');
      return rdmsr(msr);
    },
    wrmsr: (msr, value) => {
      checkInteger(msr, 0, LAST_U32, 'an MSR number');
      checkU64(value, 'a value for an MSR');
      return wrmsr(msr, value);
    },
    wrpkru: (value) => {
      checkInteger(value, 0, LAST_U32, 'a value for PKRU');
      return wrpkru(value);
    },
    lgdt: (base, limit) => {
      checkedFrame(base);
      checkInteger(limit, 0, LAST_U16, 'a limit');
      return loadTable('gdtr', base, limit);
    },
    lidt: (base, limit) => {
      checkedFrame(base);
      checkInteger(limit, 0, LAST_U16, 'a limit');
      return loadTable('idtr', base, limit);
    },
    lldt: (selector) => {
      checkInteger(selector, 0, LAST_U16, 'a selector');
      return loadSelector('ldtr', selector);
    },
    ltr: (selector) => {
      checkInteger(selector, 0, LAST_U16, 'a selector');
      return loadSelector('tr', selector);
    },
    sgdt: () => storeTable('gdtr'),
    sidt: () => storeTable('idtr'),
    sldt: () => storeSelector('ldtr'),
    str: () => storeSelector('tr'),
    vmcall,
    vmx,
    vmfunc: () => vmfunc(carryOut),
    invlpg: (va) => {
      checkedFrame(va);
      return invlpg(va);
    },
    invpcid: (type, pcid, va) => {
      checkedFrame(va);
      checkInteger(type, 0, LAST_U32, 'a type of INVPCID');
      checkInteger(pcid, 0, LAST_U32, 'a PCID');
      return invpcid(type, pcid, va);
    },
    clac: () => writeAc(false),
    stac: () => writeAc(true),
    cli: () => writeIf(false),
    sti: () => writeIf(true),
  };
}
