/** A model folder dropped anywhere on the page is opened. */
import { useEffect, useState } from "preact/hooks";
import { openTab } from "../shell/tabs.ts";
import { droppedFolder } from "./folder.ts";
import { takeModel } from "./model.ts";

/** @returns whether something is dragged over the page */
export function useDrop(): boolean {
  const [dragged, setDragged] = useState(false);
  useEffect(() => {
    const onOver = (event: DragEvent): void => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setDragged(true);
    };
    const onLeave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setDragged(false);
    };
    const onDrop = async (event: DragEvent): Promise<void> => {
      event.preventDefault();
      setDragged(false);
      const place = event.dataTransfer && (await droppedFolder(event.dataTransfer));
      if (!place) return;
      openTab("chat");
      await takeModel({ place });
    };
    addEventListener("dragover", onOver);
    addEventListener("dragleave", onLeave);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("dragover", onOver);
      removeEventListener("dragleave", onLeave);
      removeEventListener("drop", onDrop);
    };
  }, []);
  return dragged;
}
