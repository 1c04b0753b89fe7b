/** Places for the names of points: beside each, free of the names before where one of a few places is. */

export interface Placed {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/**
 * @param texts their points, and how wide they are
 * @param taken what is written already: left end, base line, width
 * @returns left end and base line of each
 */
export function placeTexts(
  texts: readonly { readonly at: readonly [number, number]; readonly width: number }[],
  { height, gap, right }: { readonly height: number; readonly gap: number; readonly right: number },
  taken: readonly Placed[],
): [x: number, y: number][] {
  const placed: Placed[] = [...taken];
  const isFree = (place: Placed): boolean =>
    place.x + place.width <= right &&
    placed.every(
      (other) => Math.abs(other.y - place.y) >= height || place.x + place.width <= other.x || other.x + other.width <= place.x,
    ) &&
    texts.every(
      ({ at: [x, y] }) => x + gap / 2 <= place.x || x - gap / 2 >= place.x + place.width || y < place.y - height || y - gap / 2 > place.y,
    );
  return texts.map(({ at: [x, y], width }) => {
    const middle = y + height / 3;
    const candidates = [0, 1, 2, 3].flatMap((far) =>
      [
        [x + gap, middle + far * height],
        [x + gap, middle - far * height],
        [x - gap - width, middle + far * height],
        [x - gap - width, middle - far * height],
      ].map(([left, base]) => ({ x: left!, y: base!, width })),
    );
    const place = candidates.find(isFree) ?? candidates[0]!;
    placed.push(place);
    return [place.x, place.y];
  });
}
