package main

import (
	"errors"
	"flag"
	"log"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
)

const (
	provisioner        = "postboat.test/local-volumes"
	claimProvisioner   = "volume.kubernetes.io/storage-provisioner"
	claimSelectedNode  = "volume.kubernetes.io/selected-node"
	volumeProvisioner  = "pv.kubernetes.io/provisioned-by"
	volumeFolderAccess = 0o755 // as on a new disk: a pod that does not run as root needs fsGroup
)

type localVolumes struct {
	*loop
	folder  string
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	nodes   corelisters.NodeLister
	classes storagelisters.StorageClassLister
}

// runLocalVolumes provisions a `local` volume for each claim of its class: a folder of the node, which honours fsGroup.
func runLocalVolumes() {
	flags := flag.NewFlagSet("local-volumes", flag.ExitOnError)
	folder := flags.String("folder", "", "folder that holds the volumes")
	l := newLoop("local-volumes", flags)
	claims, volumes := l.factory.Core().V1().PersistentVolumeClaims(), l.factory.Core().V1().PersistentVolumes()
	nodes, classes := l.factory.Core().V1().Nodes(), l.factory.Storage().V1().StorageClasses()
	l.watch(claims.Informer())
	l.watch(volumes.Informer())
	l.watch(nodes.Informer())
	l.watch(classes.Informer())
	p := &localVolumes{l, *folder, claims.Lister(), volumes.Lister(), nodes.Lister(), classes.Lister()}
	l.run(p.round)
}

func (p *localVolumes) round() error {
	var failures []error
	claims, _ := p.claims.List(labels.Everything())
	for _, claim := range claims {
		if claim.Annotations[claimProvisioner] == provisioner && claim.Spec.VolumeName == "" {
			failures = append(failures, p.provision(claim))
		}
	}
	volumes, _ := p.volumes.List(labels.Everything())
	for _, volume := range volumes {
		if volume.Annotations[volumeProvisioner] == provisioner && volume.Status.Phase == core.VolumeReleased &&
			volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete {
			failures = append(failures, p.remove(volume))
		}
	}
	return errors.Join(failures...)
}

// node returns where the claim's volume belongs, or nil while the scheduler has not chosen.
func (p *localVolumes) node(claim *core.PersistentVolumeClaim, class *storage.StorageClass) *core.Node {
	if name := claim.Annotations[claimSelectedNode]; name != "" {
		node, _ := p.nodes.Get(name)
		return node
	}
	if class.VolumeBindingMode != nil && *class.VolumeBindingMode == storage.VolumeBindingWaitForFirstConsumer {
		return nil
	}
	if nodes, _ := p.nodes.List(labels.Everything()); len(nodes) > 0 {
		return nodes[0]
	}
	return nil
}

func (p *localVolumes) provision(claim *core.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil || claim.DeletionTimestamp != nil {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	node := p.node(claim, class)
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil || node == nil {
		return nil
	}
	path := filepath.Join(p.folder, name)
	if err := os.Mkdir(path, volumeFolderAccess); err != nil && !os.IsExist(err) {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(p.ctx, newVolume(name, path, claim, class, node), meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	log.Printf("volume %s for claim %s/%s", name, claim.Namespace, claim.Name)
	return err
}

func newVolume(name, path string, claim *core.PersistentVolumeClaim, class *storage.StorageClass, node *core.Node) *core.PersistentVolume {
	volume := &core.PersistentVolume{ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{volumeProvisioner: provisioner}}}
	volume.Spec = core.PersistentVolumeSpec{
		AccessModes: claim.Spec.AccessModes,
		Capacity:    core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
		ClaimRef: &core.ObjectReference{
			APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
		},
		PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
		StorageClassName:       class.Name,
		VolumeMode:             claim.Spec.VolumeMode,
		NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
			MatchExpressions: []core.NodeSelectorRequirement{{
				Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node.Labels[core.LabelHostname]},
			}},
		}}}},
	}
	if class.ReclaimPolicy != nil {
		volume.Spec.PersistentVolumeReclaimPolicy = *class.ReclaimPolicy
	}
	return volume
}

func (p *localVolumes) remove(volume *core.PersistentVolume) error {
	if err := os.RemoveAll(filepath.Join(p.folder, volume.Name)); err != nil {
		return err
	}
	log.Printf("removed volume %s", volume.Name)
	err := p.client.CoreV1().PersistentVolumes().Delete(p.ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
