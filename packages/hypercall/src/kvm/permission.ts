/** Permission bits of a page on the wire (Heki v2 10/19, `include/linux/kvm_mem_attr.h`). */
export const MEM_ATTR_READ = 1 << 0;
export const MEM_ATTR_WRITE = 1 << 1;
export const MEM_ATTR_EXEC = 1 << 2;
/** No later request may change the permissions of the page. */
export const MEM_ATTR_IMMUTABLE = 1 << 3;
/** Every legal bit; despite its name in the series it contains {@link MEM_ATTR_IMMUTABLE}. */
export const MEM_ATTR_PROT = 0xf;

/**
 * Bits of KVM's memory attributes of a guest frame (Linux uapi kvm.h; Heki v2 10/19). Bits 0 to 2 were left free
 * upstream for rights that user space owns. User space can set only PRIVATE, and only in VMs with private memory.
 */
export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3;
export const HEKI_ATTRIBUTE_READ = 1 << 4;
export const HEKI_ATTRIBUTE_WRITE = 1 << 5;
export const HEKI_ATTRIBUTE_EXEC = 1 << 6;
export const HEKI_ATTRIBUTE_IMMUTABLE = 1 << 7;
/** All bits that belong to Heki: the mask of its setter. */
export const HEKI_ATTRIBUTE_MASK = 0xf0;

/**
 * Attributes by which user space takes rights away, as proposed for upstream in 2024 (VSM on KVM): a frame without attributes
 * has full access, and no access at all can be said. Writing and executing need reading.
 */
export const KVM_MEMORY_ATTRIBUTE_NR = 1 << 0;
export const KVM_MEMORY_ATTRIBUTE_NW = 1 << 1;
/** No execution: by the kernel where the processor tells its code from user code, else by anybody. */
export const KVM_MEMORY_ATTRIBUTE_NX = 1 << 2;
/** No execution by user code: this project's addition, because the proposal has one bit for both. */
export const KVM_MEMORY_ATTRIBUTE_NUX = 1 << 4;

/** The Heki attribute bits for permissions on the wire: READ becomes {@link HEKI_ATTRIBUTE_READ}, and so on. */
export function attributesOfPermissions(permissions: number): number {
  return (permissions & MEM_ATTR_PROT) << 4;
}

/** The permissions on the wire that the Heki bits of an attribute value stand for; other bits are ignored. */
export function permissionsOfAttributes(attributes: number): number {
  return (attributes & HEKI_ATTRIBUTE_MASK) >>> 4;
}

/** Permissions as people write them, without the immutable bit: `r-x`. */
export function permissionText(permissions: number): string {
  return letters(permissions, '-');
}

/** Permissions as KVM's log prints them (Heki v2 11/19): `r_x`. */
export function permissionLogText(permissions: number): string {
  return letters(permissions, '_');
}

function letters(permissions: number, none: string): string {
  return (
    ((permissions & MEM_ATTR_READ) !== 0 ? 'r' : none) +
    ((permissions & MEM_ATTR_WRITE) !== 0 ? 'w' : none) +
    ((permissions & MEM_ATTR_EXEC) !== 0 ? 'x' : none)
  );
}
