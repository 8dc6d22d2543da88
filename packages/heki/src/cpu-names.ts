/** Names that `--cpu` takes: those of the CPU profiles, the default first. They stand apart, so that help needs no model. */
export const CPU_NAMES = [
  'intel-vt-rp',
  'intel-skylake',
  'intel-haswell',
  'intel-sapphire-rapids',
  'intel-diamond-rapids',
  'amd-zen4',
  'qemu64',
] as const;
