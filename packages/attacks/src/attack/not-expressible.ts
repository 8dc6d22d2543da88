/** Ends an attack that a machine has nothing for: it is neither stopped nor not stopped there. */
export class NotExpressible extends Error {}
