/**
 * Whether what a specification says of its hypervisor is the path of an ES module, not the name of a backend: it has a slash, or the ending of
 * a module.
 */
export function isModulePath(hypervisor: string): boolean {
  return /[/\\]|\.[cm]?[jt]s$/.test(hypervisor);
}
