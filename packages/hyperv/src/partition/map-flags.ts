import { EptLow } from '@heki/ept';
import { HV_MAP_GPA_FULL_ACCESS, HvMapGpa } from '@heki/hypercall/hyperv';
import type { Rights } from '@heki/hypervisor';

const { READABLE, WRITABLE, KERNEL_EXECUTABLE, USER_EXECUTABLE } = HvMapGpa;

/**
 * Whether a mask can protect VTL0: nothing, or read with others (TLFS 15.9.1). What the kernel may execute, user code may execute,
 * too, and without mode-based execute control the two are the same (openvmm, validate_vtl_gpa_flags). Flags of features that are not modelled are in
 * no mask.
 */
export function isProtectionMask(flags: number, mbec: boolean): boolean {
  if (flags > HV_MAP_GPA_FULL_ACCESS || (flags !== 0 && (flags & READABLE) === 0)) return false;
  const kernel = (flags & KERNEL_EXECUTABLE) !== 0;
  const user = (flags & USER_EXECUTABLE) !== 0;
  return kernel === user || (mbec && user);
}

/** The map flags of rights; what they cannot express must have been granted before. */
export function flagsOfRights(rights: Rights): number {
  return (
    (rights.read ? READABLE : 0) |
    (rights.write ? WRITABLE : 0) |
    (rights.supervisorExecute ? KERNEL_EXECUTABLE : 0) |
    (rights.userExecute ? USER_EXECUTABLE : 0)
  );
}

/** What map flags say, whether or not the processor can keep to it. */
export function rightsOfFlags(flags: number): Rights {
  return {
    read: (flags & READABLE) !== 0,
    write: (flags & WRITABLE) !== 0,
    supervisorExecute: (flags & KERNEL_EXECUTABLE) !== 0,
    userExecute: (flags & USER_EXECUTABLE) !== 0,
  };
}

/**
 * EPT rights of a page with a mask. Where VTL1 has given up MBEC since, the kernel's right to execute is ignored: the user's is
 * everybody's.
 */
export function eptRightsOf(flags: number, readOnly: boolean, mbec: boolean): number {
  if ((flags & READABLE) === 0) return 0;
  const user = (flags & USER_EXECUTABLE) !== 0;
  const kernel = mbec ? (flags & KERNEL_EXECUTABLE) !== 0 : user;
  return (
    EptLow.R |
    ((flags & WRITABLE) !== 0 && !readOnly ? EptLow.W : 0) |
    (kernel ? EptLow.X : 0) |
    (user ? EptLow.XU : 0)
  );
}
