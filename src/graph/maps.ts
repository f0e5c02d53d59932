/** The value of `key` in `map`, made when it is first asked for. */
export function kept<K, V>(
  map: { get(key: K): V | undefined; set(key: K, value: V): unknown },
  key: K,
  make: () => V,
): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** Adds to the list of `key`. */
export const listed = <K, V>(lists: Map<K, V[]>, key: K, value: V): void => {
  kept(lists, key, () => []).push(value);
};

/** Makes an entry the latest of a map that holds `most`: of more, the one that has been so for longest is forgotten. */
export function remember<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value!);
}
