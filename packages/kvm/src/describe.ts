import {
  hypercallResultText,
  KVM_MEMORY_ATTRIBUTE_NR,
  KVM_MEMORY_ATTRIBUTE_NUX,
  KVM_MEMORY_ATTRIBUTE_NW,
  KVM_MEMORY_ATTRIBUTE_NX,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KvmHypercall,
  permissionText,
} from '@heki/hypercall/kvm';
import { describeHypervisorEvent } from '@heki/hypervisor';
import type { U64 } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import type { KvmEvent } from './event.ts';
import { describeNestedExit } from './nested/nested-exit.ts';

const LEAF_SIZES = ['', '4 KiB', '2 MiB', '1 GiB'];

/** Attributes that user space may set, by name. */
const ATTRIBUTES = [
  [KVM_MEMORY_ATTRIBUTE_NR, 'NR'],
  [KVM_MEMORY_ATTRIBUTE_NW, 'NW'],
  [KVM_MEMORY_ATTRIBUTE_NX, 'NX'],
  [KVM_MEMORY_ATTRIBUTE_PRIVATE, 'PRIVATE'],
  [KVM_MEMORY_ATTRIBUTE_NUX, 'NUX'],
] as const;

/** Requests to the owner of the code, by number. */
const CODE_REQUESTS: { readonly [number: number]: string } = {
  [KvmHypercall.CODE_SEAL]: 'seal',
  [KvmHypercall.CODE_LOAD]: 'load',
  [KvmHypercall.CODE_POKE]: 'poke',
  [KvmHypercall.CODE_RETIRE]: 'retire',
  [KvmHypercall.CODE_TRAMPOLINE]: 'trampoline',
  [KvmHypercall.CODE_JIT]: 'jit',
};

function attributesText(attributes: number): string {
  const names = ATTRIBUTES.filter(([bit]) => (attributes & bit) !== 0).map(([, name]) => name);
  return names.join(' ') || 'none';
}

function entryText({ low, high }: U64): string {
  return `0x${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`;
}

/** An event as one line of a trace. */
export function describeEvent(event: KvmEvent): string {
  switch (event.type) {
    case 'ept-violation':
      return `EPT violation at ${hex(event.gpa)}, qualification ${hex(event.qualification)}, error code ${hex(event.errorCode)}`;
    case 'nested-page-fault':
      return `#NPF at ${hex(event.gpa)}, error code ${hex(event.errorCode)}`;
    case 'plane-switch':
      return `the VMM runs plane ${event.to} of virtual CPU ${event.vcpu}`;
    case 'hlat':
      return `HLAT lists ${event.listed} pages in ${event.tables} tables${event.unlisted === 0 ? '' : `, ${event.unlisted} could not be listed`}`;
    case 'code-request': {
      const name = CODE_REQUESTS[event.number] ?? String(event.number);
      return `the owner of the code: ${name} = ${event.result}${event.refused === undefined ? '' : `: ${event.refused}`}`;
    }
    case 'mapped':
      return `mapped gfn ${hex(event.gfn)} to pfn ${hex(event.pfn)} with a leaf of ${LEAF_SIZES[event.level]}: ${entryText(event.entry)}`;
    case 'nested-exit':
      return `VM exit of L2 to L1: ${describeNestedExit(event.exit)}`;
    case 'spurious':
      return `nothing to do for guest-physical ${hex(event.gpa)}: the access is tried again`;
    case 'zapped':
      return `zapped ${event.leaves} ${event.leaves === 1 ? 'leaf' : 'leaves'} over gfns ${hex(event.start)}-${hex(event.end)}`;
    case 'flushed':
      return `flushed ${event.vcpus} virtual ${event.vcpus === 1 ? 'CPU' : 'CPUs'}`;
    case 'injected': {
      const { vector, errorCode, cr2 } = event.exception;
      const name =
        vector === 14 ? '#PF' : vector === 13 ? '#GP' : vector === 8 ? '#DF' : `exception ${vector}`;
      return `injected ${name}, error code ${hex(errorCode)}${cr2 === undefined ? '' : `, CR2 ${hex(cr2)}`}`;
    }
    case 'hypercall': {
      const result = Number(BigInt.asIntN(64, event.result));
      return `hypercall ${event.number} (${event.arguments.map(hex).join(', ')}) = ${hypercallResultText(result)}`;
    }
    case 'list-page':
      return `list page at ${hex(event.gpa)}: ${event.entries} ${event.entries === 1n ? 'entry' : 'entries'}`;
    case 'range': {
      const immutable = (event.permissions & 8) !== 0 ? ' immutable' : '';
      const rights = `${permissionText(event.permissions)}${immutable}`;
      return `gfns ${hex(event.start)}-${hex(event.end)} ${rights}: ${event.outcome}`;
    }
    case 'user-exit':
      return `KVM_RUN returns ${event.exit.number} (${event.exit.reason})`;
    case 'attributes-set':
      return `attributes of gfns ${hex(event.start)}-${hex(event.end)}: ${attributesText(event.attributes)}`;
    case 'vtl-switch':
      return `virtual CPU ${event.vcpu} goes on in VTL${event.to}`;
    case 'host-exhaustion':
    case 'host-memory-corruption':
    case 'host-leak':
    case 'host-out-of-bounds-read':
      return `${event.type} (${event.defect}): ${event.amount} ${event.unit}: ${event.text}`;
    default:
      return describeHypervisorEvent(event);
  }
}
