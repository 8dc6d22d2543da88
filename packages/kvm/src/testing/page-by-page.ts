import type { ProtectedRange } from '@heki/hypercall/kvm';

/** Attributes the published way, one value for each frame, as flat as it gets. */
export function createPageByPage(frames: number): {
  protect(ranges: readonly ProtectedRange[]): boolean;
  get(frame: number): number;
} {
  const values = new Uint8Array(frames);
  return {
    get: (frame) => values[frame] ?? 0,
    protect(ranges) {
      for (const { start, end, permissions } of ranges) {
        for (let frame: number = start; frame < end; frame++)
          if (((values[frame] ?? 0) & 8) !== 0) return false;
        let equal = true;
        for (let frame: number = start; frame < end; frame++) equal &&= values[frame] === permissions;
        if (!equal) for (let frame: number = start; frame < end; frame++) values[frame] = permissions;
      }
      return true;
    },
  };
}
