# A guest that shows its PCI devices and runs the commands it is given, one after the other.
watch_pci &
echo ready >&3
while read -r verb id command; do
  [ "$verb" = run ] || continue
  output=$(echo "$command" | base64 -d | sh 2>&1)
  status=$?
  echo "done $id $status $(echo "$output" | base64 -w 0)" >&3
done <&3
