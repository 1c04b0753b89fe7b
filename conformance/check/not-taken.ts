/** Thrown by a subject that finds out only while it runs that it does not take a case: the case counts as refused. */
export class NotTaken extends Error {
  override readonly name = "NotTaken";
}
